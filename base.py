import jax, numpy as np, jaxtune as jt, traceback, warnings, sys, time
R=np.random.default_rng(0)
X=R.normal(size=(120,4)).astype(np.float32); Y=(X[:,0]+.5*R.normal(size=120)>0).astype(int)
D=dict(train=(X[:80],Y[:80]),valid=(X[80:],Y[80:]),batch_size=8)
task=jt.classification(jt.models.MLP(classes=2,max_units=8),**D)
space=jt.Space(learning_rate=jt.log_uniform(1e-3,1.0),momentum=jt.reverse_log_uniform(.5,.99))
K=jax.random.key(0)
H=jt.schedulers.hyperband; SH=jt.schedulers.successive_halving
def attempt(name,f):
    t=time.time()
    try:
        r=f(); print("OK ",name,"->",(str(r)[:300] if r is not None else None), f"{time.time()-t:.1f}s")
        return r
    except ValueError as e: print("VAL",name,"->",str(e)[:400])
    except BaseException as e:
        print("!!!",name,type(e).__name__,str(e)[:400]); traceback.print_exc(limit=-4,file=sys.stdout)
def S(task=task,space=space,**k):
    a=dict(key=K,trials=9,epochs=9,verbose=0); a.update(k)
    return jt.search(task,space,**a)
