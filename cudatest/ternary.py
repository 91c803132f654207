import numpy as np, cupy as cp, time, os
here=os.path.dirname(os.path.abspath(__file__))
mod=cp.RawModule(path=here+'/ternary.cubin')
K=lambda n: mod.get_function(n)
rng=np.random.default_rng(1)
OUT=np.dtype([('dst','u8'),('ld','i8'),('map','u8'),('scale','u8'),('factor','u8'),('bias','u8'),('bad','u8'),('stage','i8'),('act','i8')])
def i64(v): return np.int64(v)
def out(dst,ld,m,scale,bad=None,stage=0,act=1,bias=None):
    o=np.zeros(1,OUT)
    o['dst']=dst.data.ptr;o['ld']=ld;o['map']=m.data.ptr;o['scale']=scale.data.ptr
    o['bad']=bad.data.ptr if bad is not None else 0;o['stage']=stage;o['act']=act
    o['bias']=bias.data.ptr if bias is not None else 0
    return o
def pack(trits,rowmap):
    tiles=len(rowmap)//16; cols=trits.shape[1]; chunks=(cols+127)//128
    d=cp.zeros(tiles*chunks*128,cp.uint32)
    src=cp.asarray(trits); m=cp.asarray(rowmap.astype(np.int32))
    n=tiles*chunks*128
    K('pack_trits')(((n+255)//256,),(256,),(src,i64(cols),m,d,i64(tiles),i64(chunks)))
    return d,tiles,chunks
def quant(x):
    s=np.float32(127/np.maximum(1e-5,np.abs(x).max(1).astype(np.float64)))
    q=np.rint((x*s[:,None]).astype(np.float32)).astype(np.int32)
    return q,s.astype(np.float32)
FEW=[(8,'ternary_few8',1),(16,'ternary_few16',1),(32,'ternary_few32',2),(64,'ternary_few64',2)]
def mul(d,tiles,chunks,q,s,sm,rows,epi,o,which=None):
    if which is None: which='many' if rows>64 else [n for m,n,_ in FEW if rows<=m][0]
    if which=='many':
        K('ternary_many')(((rows+63)//64,(tiles+7)//8),(128,),(d,q,s,sm,i64(rows),i64(chunks),i64(tiles),i64(epi),o))
    else:
        mt=[t for _,n,t in FEW if n==which][0]
        K(which)(((tiles+mt-1)//mt,),(256,),(d,q,s,sm,i64(rows),i64(chunks),i64(epi),o))
def check(rows,N,C):
    trits=rng.integers(-1,2,(N,C)).astype(np.int8)
    tiles=((N+31)//32)*2
    rowmap=np.full(tiles*16,-1,np.int64); rowmap[:N]=np.arange(N)
    d,tiles,chunks=pack(trits,rowmap)
    x=rng.standard_normal((rows,C)).astype(np.float32)
    xd=cp.asarray(x); w=cp.asarray(rng.standard_normal(C).astype(np.float32))
    st=chunks*128
    q=cp.full((rows,st),77,cp.int8); s=cp.zeros(rows,cp.float32); sm=cp.zeros(rows,cp.int32); nf=cp.zeros((rows,C),cp.float32)
    name,V=('norm4',4) if C<=4096 else ('norm8',8) if C<=8192 else ('norm32',32)
    th=min(1024,((C+V-1)//V+31)//32*32)
    K(name)((rows,),(th,),(xd,i64(C),w,np.float32(1e-5),nf,q,s,sm,i64(C),i64(st)))
    mean=((x*x).astype(np.float32).astype(np.float64).sum(1)/C).astype(np.float32)
    sc=(np.float32(1)/np.sqrt(mean+np.float32(1e-5))).astype(np.float32)
    ref=((x*sc[:,None]).astype(np.float32)*cp.asnumpy(w)).astype(np.float32)
    qn,sn=quant(ref)
    assert np.array_equal(ref,cp.asnumpy(nf)),'norm'
    assert np.array_equal(sn,cp.asnumpy(s)),'scale'
    qg=cp.asnumpy(q).astype(np.int32)
    assert np.array_equal(qg[:,:C],qn) and (qg[:,C:]==0).all(),'quant'
    assert np.array_equal(qn.sum(1),cp.asnumpy(sm)),'sum'
    dot=qn.astype(np.int64)@trits.T.astype(np.int64)
    scale=cp.full(2*tiles,0.73,cp.float32); m=cp.asarray(rowmap.astype(np.int32))
    want=((dot.astype(np.float32)/sn[:,None]).astype(np.float32)*np.float32(0.73)).astype(np.float32)
    for which in ([None]+([n for mm,n,_ in FEW if mm>=rows]+['many'] if rows<=64 else [])):
        y=cp.full((rows,N),np.nan,cp.float32)
        mul(d,tiles,chunks,q,s,sm,rows,0,out(y,N,m,scale),which)
        assert np.array_equal(want,cp.asnumpy(y)),(which,rows,N,C)
        res=cp.asarray(rng.standard_normal((rows,N)).astype(np.float32)); r0=cp.asnumpy(res); bad=cp.full(rows,0xffffffff,cp.uint32)
        mul(d,tiles,chunks,q,s,sm,rows,1,out(res,N,m,scale,bad,5),which)
        assert np.array_equal(r0+want,cp.asnumpy(res)) and (cp.asnumpy(bad)==0xffffffff).all()
    # gated: rows 0..N/2 gate, others up, interleaved by eight
    F=N//2; gm=np.full(tiles*16,-1,np.int64)
    om=np.full(tiles*16,-1,np.int64)
    for i in range(F):
        t,g=i//8,i%8
        gm[t*16+g]=i; gm[t*16+g+8]=F+i; om[t*16+g]=i; om[t*16+g+8]=i
    d2,_,_=pack(trits,gm)
    gate,up=want[:,:F],want[:,F:2*F]
    r=np.where(gate<=0,0,gate).astype(np.float32); wg=((r*r).astype(np.float32)*up).astype(np.float32)
    for which in ([None]+([n for mm,n,_ in FEW if mm>=rows]+['many'] if rows<=64 else [])):
        h=cp.full((rows,F),np.nan,cp.float32)
        mul(d2,tiles,chunks,q,s,sm,rows,2,out(h,F,cp.asarray(om.astype(np.int32)),scale),which)
        assert np.array_equal(wg,cp.asnumpy(h)),('gated',which)
for rows,N,C in [(1,256,256),(3,128,256),(1,3840,2560),(8,2560,6912),(5,48,768),(9,512,256),(17,640,512),(33,96,384),(64,2560,2560),(65,2560,2560),(200,3840,2560),(130,48,130)]:
    check(rows,N,C)
print('ternary, norm: equal')
def timed(f,n=20):
    f();cp.cuda.Device().synchronize()
    ts=[]
    for _ in range(5):
        a,b=cp.cuda.Event(),cp.cuda.Event(); a.record()
        for i in range(n): f()
        b.record(); b.synchronize(); ts.append(cp.cuda.get_elapsed_time(a,b)/n*1e3)
    return sorted(ts)[2]
# bandwidth: copy
A=cp.zeros(1<<30,cp.uint8);B=cp.empty_like(A)
t=timed(lambda: cp.copyto(B,A),5); print('copy GB/s',2*(1<<30)/t/1e3)
L=30
shapes={'qkv':(3840,2560,0),'o':(2560,2560,1),'gateup':(13824,2560,2),'down':(2560,6912,1)}
for rows in (1,4,8,16,32,64,512,2048):
    line=[];tot=0;ideal=0
    for nm,(N,C,epi) in shapes.items():
        tiles=N//16;chunks=C//128
        ws=[cp.asarray(rng.integers(0,2**32,tiles*chunks*128,dtype=np.uint32)) for _ in range(2)]
        ws=[ws[i%2].copy() for i in range(L if rows<=64 else 2)]
        q=cp.asarray(rng.integers(-127,128,(rows,C)).astype(np.int8)); s=cp.full(rows,10,cp.float32); sm=q.astype(cp.int32).sum(1).astype(cp.int32)
        m=cp.arange(N,dtype=cp.int32)
        if epi==2: m=cp.asarray(np.repeat(np.arange(N//16)*8,16).astype(np.int32)+np.tile(np.arange(8),N//8).astype(np.int32))
        scale=cp.full(2*tiles,1e-3,cp.float32); y=cp.zeros((rows,N),cp.float32); bad=cp.full(rows,0xffffffff,cp.uint32)
        o=out(y,N,m,scale,bad,1)
        st=cp.cuda.Stream(non_blocking=True)
        with st:
            st.begin_capture()
            for w in ws: mul(w,tiles,chunks,q,s,sm,rows,epi,o)
            g=st.end_capture()
            g.launch();st.synchronize()
            ts=[]
            for _ in range(7):
                a,b=cp.cuda.Event(),cp.cuda.Event(); a.record(st); g.launch(); b.record(st); b.synchronize(); ts.append(cp.cuda.get_elapsed_time(a,b)/len(ws)*1e3)
        t=sorted(ts)[3]; tot+=t; line.append('%s %.1f'%(nm,t))
    ops=2*rows*69.5e6
    print('rows %5d us/layer: %s total %.1f  weights %.0f GB/s  %.0f TOPS'%(rows,'  '.join(line),tot,17.37e6/tot/1e3,ops/tot/1e6))
for rows in (1,64,2048):
    for C in (2560,6912):
        x=cp.asarray(rng.standard_normal((rows,C)).astype(np.float32)); w=cp.ones(C,cp.float32); q=cp.zeros((rows,C),cp.int8); s=cp.zeros(rows,cp.float32); sm=cp.zeros(rows,cp.int32)
        name,V=('norm4',4) if C<=4096 else ('norm8',8)
        th=min(1024,((C+V-1)//V+31)//32*32)
        st=cp.cuda.Stream(non_blocking=True)
        with st:
            st.begin_capture()
            for _ in range(30): K(name)((rows,),(th,),(x,i64(C),w,np.float32(1e-5),np.uint64(0),q,s,sm,i64(C),i64(C)))
            g=st.end_capture(); g.launch(); st.synchronize()
            a,b=cp.cuda.Event(),cp.cuda.Event(); a.record(st); g.launch(); b.record(st); b.synchronize()
        print('norm',rows,C,'%.2f us'%(cp.cuda.get_elapsed_time(a,b)/30*1e3))
