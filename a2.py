from base import *
# extend after confirm with learner + hyperband
for kw in [dict(confirm=jt.confirm(top=2,seeds=3))if hasattr(jt,'confirm') else dict(confirm=2)]:
    r=attempt("gp hb confirm",lambda:S(trials=20,sampler="gaussian_process",scheduler=H(),**kw))
    if r: 
        print(r.trials["status"], r.trials["round"])
        r2=attempt("extend",lambda:jt.extend(r,trials=20,verbose=0))
