# Attention, place_rows and attend_any on a GPU against float64; python3, numpy, cupy.
# It loads the images that are checked in; after a change: go generate ./device/cuda/kernels
import os, time
import numpy as np, cupy as cp

t0 = time.time()
here = os.path.dirname(os.path.abspath(__file__))
image = os.path.join(here, '../device/cuda/kernels/image/%s.sm_90a.cubin')
mods = {n: cp.RawModule(path=image % n) for n in ('attention', 'attention_any', 'position')}
names = {'place_rows': 'position', 'attend_any': 'attention_any'}
funcs = {}
rng = np.random.default_rng(1)
NULL = np.uint64(0)
i64, f32 = np.int64, np.float32
HALVES, F32, F16, Q8 = range(4)


def K(name):
    if name not in funcs:
        funcs[name] = mods[names.get(name, 'attention')].get_function(name)
        if name.startswith('attn_rows'):
            funcs[name].max_dynamic_shared_size_bytes = 65536
    return funcs[name]


def dev(a, dtype):
    return cp.asarray(np.ascontiguousarray(a, dtype))


def page_table(lens, ps, spare=3):
    """Shuffled pages of sequences: the table of each, and how many pages there are."""
    need = [(n + ps - 1) // ps for n in lens]
    perm = rng.permutation(sum(need) + spare).astype(np.int32)
    at = np.cumsum([0] + need)
    return perm, at, sum(need) + spare


def tiles_of(spans, cut):
    """spans: (first row, rows, sequence, position of the first)."""
    t = [(r + i, min(cut, n - i), s, p + i) for r, n, s, p in spans for i in range(0, n, cut)]
    return np.array(t + [(0, 0, 0, 0)], np.int32)


def run_rows(D, q, k, v, rows, table, tiles, group, kvh, ps, warps=4):
    att = cp.full((rows.shape[0], group * kvh, D), np.nan, cp.float32)
    K('attn_rows_%d' % D)((kvh, len(tiles), -(-16 * group // (16 * warps))), (32 * warps,),
                          (q, k, v, rows, table, dev(tiles, np.int32), att, i64(group), i64(ps), f32(D ** -0.5)), shared_mem=512 * D)
    return att


def run_chunks(D, q, k, v, rows, table, which, group, kvh, ps, longest):
    H, n, mc = group * kvh, len(which), -(-longest // 64) + 1
    att = cp.full((rows.shape[0], H, D), np.nan, cp.float32)
    m, l, o = (cp.full((n, H, mc) + e, np.nan, cp.float32) for e in ((), (), (D,)))
    lst = dev(which, np.int32)
    K('attn_chunks_%d' % D)((mc, kvh, n), (128,), (q, k, v, rows, table, lst, m, l, o, i64(group), i64(ps), i64(mc), f32(D ** -0.5)))
    K('attn_combine_%d' % D)((-(-H // 4), n), (128,), (m, l, o, rows, lst, att, i64(H), i64(mc)))
    return att


def bits(a, b, what):
    a, b = cp.asnumpy(a).view(np.uint32), cp.asnumpy(b).view(np.uint32)
    assert np.array_equal(a, b), (what, int((a != b).sum()), np.argwhere(a != b)[:3].tolist())


def reference(q, keys, values, pos, group, D):
    """q [heads, D], keys and values [kvHeads, positions, D] in float64."""
    n = pos + 1
    q = q.reshape(-1, group, D)
    s = cp.einsum('hgd,hpd->hgp', q, keys[:, :n]) * float(f32(D ** -0.5))
    s = cp.exp(s - s.max(-1, keepdims=True))
    return (cp.einsum('hgp,hpd->hgd', s, values[:, :n]) / s.sum(-1, keepdims=True)).reshape(-1, D)


def fast(D, group, kvh, ps, lens, n_rows):
    """The last n_rows positions of each sequence are rows; pages hold NaN elsewhere."""
    H = group * kvh
    perm, at, pages = page_table(lens, ps)
    k = np.full((pages, kvh, ps, D), np.nan, np.float16)
    v = np.full((pages, kvh, D, ps), np.nan, np.float16)
    rows, spans, content = [], [], []
    for s, n in enumerate(lens):
        kk, vv = (rng.standard_normal((kvh, n, D)).astype(np.float16) for _ in range(2))
        p = np.arange(n)
        page, slot = perm[at[s] + p // ps], p % ps
        k[page, :, slot] = kk.transpose(1, 0, 2)
        v[page, :, :, slot] = vv.transpose(1, 0, 2)
        content.append((cp.asarray(kk, cp.float64), cp.asarray(vv, cp.float64)))
        have = min(n, n_rows)
        spans.append((len(rows), have, s, n - have))
        rows += [(s, i, 0, at[s]) for i in range(n - have, n)]
    M = len(rows)
    q = (rng.standard_normal((M, H, D)) * 1.5).astype(np.float16)
    d = (cp.asarray(q), cp.asarray(k), cp.asarray(v), dev(rows, np.int32), dev(perm, np.int32))
    full = run_rows(D, *d, tiles_of(spans, 16), group, kvh, ps)
    worst = 0
    for r, (s, p, _, _) in enumerate(rows):
        want = reference(cp.asarray(q[r], cp.float64), *content[s], p, group, D)
        e = cp.abs(full[r] - want).max()
        worst = max(worst, float(e)) if e == e else float('nan')
        assert worst < 5e-6, ('attn_rows', D, group, ps, s, p, worst)
    for cut, warps in ((7, 4), (1, 1)):
        bits(full, run_rows(D, *d, tiles_of(spans, cut), group, kvh, ps, warps), ('tiles of', cut, D, group, ps))
    bits(full, run_chunks(D, *d, np.arange(M), group, kvh, ps, max(lens)), ('decode', D, group, ps, lens))
    for r in sorted({0, M // 2, M - 1}):
        one = run_chunks(D, d[0][r:r + 1].copy(), d[1], d[2], d[3][r:r + 1].copy(), d[4], [0], group, kvh, ps, max(lens))
        bits(full[r], one[0], ('a row alone', D, group, ps, r))
    return worst


def rope_reference(x, kind, dims, cos, sin, w, eps):
    """x [rows, heads, dim] float32 with the roundings of quantkern."""
    x = x.copy()
    if w is not None:
        mean = ((x * x).astype(np.float64).sum(-1) / x.shape[-1]).astype(f32)
        x = x * (f32(1) / np.sqrt(mean + f32(eps)))[..., None] * w
    if kind:
        h = dims // 2
        a, b = (slice(0, h), slice(h, 2 * h)) if kind == 1 else (slice(0, dims, 2), slice(1, dims, 2))
        p, r, c, s = x[..., a].copy(), x[..., b].copy(), cos[:, None], sin[:, None]
        x[..., a], x[..., b] = p * c - r * s, p * s + r * c
    return x


def kept_values(x, kept):
    """What storing makes of x [..., dim], as bytes and as float64."""
    if kept == F32:
        return x, x.astype(np.float64)
    if kept != Q8:
        with np.errstate(over='ignore'):
            h = x.astype(np.float16)
        return h, h.astype(np.float64)
    b = x.reshape(x.shape[:-1] + (-1, 32))
    with np.errstate(all='ignore'):
        d = (np.abs(b).max(-1) / f32(127)).astype(f32)
        inv = np.where(d != 0, f32(1) / d, 0).astype(f32)
        inv = np.where(np.isfinite(inv), inv, 0).astype(f32)
        z = (b * inv[..., None]).astype(f32).astype(np.float64)
        codes = np.trunc(z + np.copysign(0.5, z))
        h = d.astype(np.float16)
    bad = ~np.isfinite(h)
    codes = np.where(bad[..., None], 0, codes).astype(np.int8)
    scale = np.where(bad, np.uint16(0x7e00), h.view(np.uint16)).astype(np.uint16)
    raw = np.concatenate([scale[..., None].view(np.uint8), codes.view(np.uint8)], -1).reshape(x.shape[:-1] + (-1,))
    return raw, (scale.view(np.float16).astype(np.float64)[..., None] * codes).reshape(x.shape)


def generic(kept, kind, norm, kd, vd, dims, heads, kvh, ps, n, odd=False):
    perm, at, pages = page_table([n], ps)
    width = heads * kd + kvh * (kd + vd)
    qkv = rng.standard_normal((n, width)).astype(f32)
    if odd:
        qkv[n // 2, -5], qkv[n // 3, -40], qkv[n // 4, heads * kd + 3] = np.inf, 1e7, np.nan
    cos, sin = (f(np.arange(n)[:, None] * 1e4 ** (-2 * np.arange(max(dims // 2, 1)) / max(dims, 1))).astype(f32) for f in (np.cos, np.sin))
    qw, kw = ((1 + 0.1 * rng.standard_normal(kd)).astype(f32) if norm else None for _ in range(2))
    shape = np.array([heads, kvh, kd, vd, kind, dims, kept, ps], np.int64).view(np.dtype([('s', 'i8', (8,))]))
    unit = {F32: 4, Q8: 34 / 32}.get(kept, 2)
    kb, vb = (cp.full((pages, kvh, int(ps * d * unit)), 255, cp.uint8) for d in (kd, vd))
    q = cp.full((n, heads, kd), np.nan, cp.float16 if kept == HALVES else cp.float32)
    rows, table = dev([(0, i, 0, 0) for i in range(n)], np.int32), dev(perm, np.int32)
    opt = lambda w: NULL if w is None else cp.asarray(w)
    K('place_rows')((-(-(heads + 2 * kvh) // 4), n), (128,),
                    (cp.asarray(qkv), rows, table, cp.asarray(cos), cp.asarray(sin), opt(qw), opt(kw), f32(1e-5), f32(1e-6), q, kb, vb, shape),
                    shared_mem=16 * max(kd, vd))
    xq, xk, xv = np.split(qkv, [heads * kd, (heads + kvh) * kd], 1)
    with np.errstate(all='ignore'):
        xq = rope_reference(xq.reshape(n, heads, kd), kind, dims, cos, sin, qw, 1e-5)
        xk = rope_reference(xk.reshape(n, kvh, kd), kind, dims, cos, sin, kw, 1e-6)
    xv = xv.reshape(n, kvh, vd)
    wq = xq if kept in (F32, Q8) else xq.astype(np.float16).astype(f32)
    what = ('place_rows', kept, kind, norm, kd, vd)
    # The order of the squares' sum may show in the last bit, seldom.
    close = lambda a, b: np.array_equal(a, b, equal_nan=True) if not norm else np.allclose(a, b, rtol=2e-3 if kept in (HALVES, F16) else 1e-6, atol=1e-6, equal_nan=True) and np.mean(a != b) < 0.01 + np.isnan(a).mean()
    assert close(cp.asnumpy(q).astype(f32), wq), what
    p = np.arange(n)
    page, slot = perm[p // ps], p % ps
    decoded = []
    for buf, x, d in ((kb, xk, kd), (vb, xv, vd)):
        raw, value = kept_values(x, kept)
        b = cp.asnumpy(buf)
        if kept == HALVES and buf is vb:
            got = b.view(np.float16).reshape(pages, kvh, d, ps)[page, :, :, slot]
        elif kept == Q8:
            got = b.reshape(pages, kvh, ps, -1)[page, :, slot]
        else:
            got = b.view(raw.dtype).reshape(pages, kvh, ps, d)[page, :, slot]
        if kept == Q8 and norm:
            g = got.reshape(n, kvh, -1, 34)
            s = np.ascontiguousarray(g[..., :2]).view(np.float16).astype(np.float64)
            assert np.allclose((s * g[..., 2:].view(np.int8)).reshape(x.shape), value, rtol=0, atol=0.1), what
            value = (s * g[..., 2:].view(np.int8)).reshape(x.shape)
        elif kept == Q8 and odd:
            # Codes of a block whose scale is NaN may be anything.
            g, r = got.reshape(n, kvh, -1, 34), raw.reshape(n, kvh, -1, 34)
            nan = (r[..., 0] == 0) & (r[..., 1] == 0x7e)
            assert np.array_equal(g[..., :2], r[..., :2]) and np.array_equal(g[~nan], r[~nan]), what
        else:
            assert close(got.astype(f32), raw.astype(f32)), what
            if norm:
                value = got.astype(np.float64)
        decoded.append(cp.asarray(value).transpose(1, 0, 2))
    if kept == HALVES or odd:
        return 0
    att = cp.full((n, heads, vd), np.nan, cp.float32)
    K('attend_any')((heads, n), (128,), (q, kb, vb, rows, table, att, f32(kd ** -0.5), shape), shared_mem=4 * (kd + vd))
    worst = 0
    for r in range(n):
        if n > 40 and r % 9 and r < n - 5:
            continue
        qr = q[r].astype(cp.float64).reshape(kvh, -1, kd)
        s = cp.einsum('hgd,hpd->hgp', qr, decoded[0][:, :r + 1]) * float(f32(kd ** -0.5))
        s = cp.exp(s - s.max(-1, keepdims=True))
        want = (cp.einsum('hgp,hpd->hgd', s, decoded[1][:, :r + 1]) / s.sum(-1, keepdims=True)).reshape(heads, vd)
        worst = max(worst, float(cp.abs(att[r] - want).max()))
        assert worst < 5e-6, ('attend_any', kept, kd, vd, r, worst)
    one = cp.full((1, heads, vd), np.nan, cp.float32)
    K('attend_any')((heads, 1), (128,), (q[n - 1:].copy(), kb, vb, rows[n - 1:].copy(), table, one, f32(kd ** -0.5), shape), shared_mem=4 * (kd + vd))
    bits(one[0], att[n - 1], 'attend_any of a row alone')
    return worst


def timed(launches):
    """Microseconds of each of the launches, all in one graph."""
    st = cp.cuda.Stream(non_blocking=True)
    cp.cuda.Device().synchronize()
    with st:
        st.begin_capture()
        for f in launches:
            f()
        g = st.end_capture()
        g.launch()
        st.synchronize()
        ts = []
        for _ in range(7):
            a, b = cp.cuda.Event(), cp.cuda.Event()
            a.record(st), g.launch(), b.record(st), b.synchronize()
            ts.append(cp.cuda.get_elapsed_time(a, b) / len(launches) * 1e3)
    return sorted(ts)[3]


def time_decode(n, ctx, ps, D=128, group=4, kvh=5):
    H, mc = group * kvh, -(-ctx // 64)
    each = -(-ctx // ps) * n
    size = 2 * each * kvh * ps * D * 2
    copies = max(2, min(40, int(150e6 / size) + 1))
    kv = [(cp.full(size // 4, 0.1, cp.float16), cp.full(size // 4, 0.1, cp.float16)) for _ in range(copies)]
    table = dev(rng.permutation(each), np.int32)
    rows = dev([(i, ctx - 1, 0, i * (each // n)) for i in range(n)], np.int32)
    q = cp.full((n, H, D), 0.1, cp.float16)
    m, l, o, att = (cp.zeros(s, cp.float32) for s in ((n, H, mc), (n, H, mc), (n, H, mc, D), (n, H, D)))
    ch = lambda k, v: K('attn_chunks_%d' % D)((mc, kvh, n), (128,), (q, k, v, rows, table, NULL, m, l, o, i64(group), i64(ps), i64(mc), f32(D ** -0.5)))
    co = lambda: K('attn_combine_%d' % D)((H // 4, n), (128,), (m, l, o, rows, NULL, att, i64(H), i64(mc)))
    loops = max(copies, 20 if size < 1e8 else 4)
    a = timed([lambda i=i: ch(*kv[i % copies]) for i in range(loops)])
    b = timed([co] * loops)
    real = 2 * n * ctx * kvh * D * 2
    print('decode  %3d rows at %4d, pages of %2d: chunks %7.1f us (%4.0f GB/s)  combine %6.1f us' % (n, ctx, ps, a, real / a / 1e3, b))


def time_prefill(n, ps, D=128, group=4, kvh=5):
    H = group * kvh
    pages = -(-n // ps)
    k, v = (cp.asarray((rng.standard_normal(pages * kvh * ps * D)).astype(np.float16)) for _ in range(2))
    q = cp.asarray(rng.standard_normal((n, H, D)).astype(np.float16))
    rows, table = dev([(0, i, 0, 0) for i in range(n)], np.int32), dev(rng.permutation(pages), np.int32)
    tiles = dev(tiles_of([(0, n, 0, 0)], 16)[:-1], np.int32)
    att = cp.zeros((n, H, D), cp.float32)
    f = lambda: K('attn_rows_%d' % D)((kvh, len(tiles), group // 4), (128,), (q, k, v, rows, table, tiles, att, i64(group), i64(ps), f32(D ** -0.5)), shared_mem=512 * D)
    a = timed([f] * 10)
    qkv = cp.asarray(rng.standard_normal((n, (H + 2 * kvh) * D)).astype(f32))
    cs = cp.ones((n, D // 2), cp.float32)
    shape = np.array([H, kvh, D, D, 1, D, HALVES, ps], np.int64).view(np.dtype([('s', 'i8', (8,))]))
    p = timed([lambda: K('place_rows')((-(-(H + 2 * kvh) // 4), n), (128,), (qkv, rows, table, cs, cs, NULL, NULL, f32(0), f32(0), q, k, v, shape), shared_mem=16 * D)] * 10)
    macs = H * D * n * (n + 1) / 2
    print('prefill %4d rows, pages of %2d: attn_rows %7.1f us (%3.0f TFLOPS; %3.0f done on tensor cores)  place_rows %6.1f us' % (n, ps, a, 4 * macs / a / 1e6, 6 * macs / a / 1e6, p))


worst = 0
for D in (64, 128):
    for group, kvh in ((1, 3), (4, 2), (8, 1), (20, 1)):
        for ps in (16, 32, 64) if group == 4 else (48,):
            worst = max(worst, fast(D, group, kvh, ps, [1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 300], 35))
        worst = max(worst, fast(D, group, kvh, 64, [4096, 2049, 1000], 18))
print('attn_chunks, attn_combine, attn_rows: right within %.1e, the same bits whatever the way   %.1f s' % (worst, time.time() - t0))
worst = 0
for kept in (HALVES, F32, F16, Q8):
    for kind in (0, 1, 2):
        for norm in (False, True):
            worst = max(worst, generic(kept, kind, norm, 64, 64, 64 if kind == 1 else 48, 6, 2, 16, 70))
    if kept != HALVES:
        kd, vd = (96, 160) if kept == Q8 else (40, 24)
        worst = max(worst, generic(kept, 1, True, kd, vd, kd, 4, 1, 7, 300))
    generic(kept, 1, False, 128, 128, 128, 4, 2, 16, 20, odd=True)
print('place_rows: equal; attend_any: right within %.1e   %.1f s' % (worst, time.time() - t0))
for n, ctx in ((1, 512), (1, 4096), (64, 512), (64, 4096)):
    for ps in (64, 16) if ctx == 512 else (64,):
        time_decode(n, ctx, ps)
for n in (512, 2048):
    time_prefill(n, 64)
print('%.1f s in all' % (time.time() - t0))
