from base import *
E_=dict(budget="examples",scheduler=SH(min_epochs=1))
for b in ["Examples",None,1,["examples"],"epochs",True]:
    attempt(f"budget={b!r}",lambda:S(budget=b,scheduler=SH()).best.score)
attempt("no sched",lambda:S(budget="examples"))
for s in [jt.schedulers.asha(),jt.schedulers.pbt(interval=2),jt.schedulers.patience(3),jt.schedulers.median_stopping(),jt.schedulers.freeze_thaw(),jt.schedulers.race(),jt.schedulers.race(scheduler=SH()),jt.schedulers.race(scheduler=jt.schedulers.freeze_thaw()),H()]:
    attempt(f"sched {str(s)[:60]}",lambda:S(budget="examples",scheduler=s).cost)
attempt("history",lambda:S(history=True,**E_))
attempt("score best",lambda:S(score="best",**E_))
r=attempt("plain",lambda:S(**E_))
print(r.trials)
attempt("1 trial",lambda:S(trials=1,**E_).trials)
attempt("2 trials",lambda:S(trials=2,**E_).trials)
attempt("1 epoch",lambda:S(epochs=1,**E_).trials)
attempt("seeds folds",lambda:S(seeds=2,**E_).trials["examples"])
attempt("rounds",lambda:S(rounds=2,trials=18,**E_).trials["examples"])
attempt("plainfn",lambda:jt.search(lambda h:h["learning_rate"],space,key=K,trials=9,mode="min",verbose=0,budget="examples",scheduler=SH()))
