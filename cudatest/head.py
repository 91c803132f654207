#!/usr/bin/env python3
"""Checks and times device/cuda/kernels/{dense,screen_build,screen}.cu.

On a GPU (cupy):  python3 head.py            cubins beside this file
Without one:      EMU=path/emu.so python3 head.py   small sizes, no times
"""
import ctypes, os, sys, time
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
EMU = os.environ.get("EMU")
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
BLOCK = dict(F32=(1, 4), F16=(1, 2), BF16=(1, 2), Q8_0=(32, 34), Q4_0=(32, 18), Q4_1=(32, 20), Q5_0=(32, 22), Q5_1=(32, 24),
             Q4_K=(256, 144), Q5_K=(256, 176), Q6_K=(256, 210))
rng = np.random.default_rng(7)
T0 = time.time()


class Real(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int64) for n in "dst ld at factor bias bad stage".split()]


if EMU:
    so = ctypes.CDLL(EMU)
    so.emu_buf.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    class Buf:
        def __init__(self, a):
            a = np.ascontiguousarray(a)
            self.raw = np.zeros(a.nbytes + 512, np.uint8)
            off = -self.raw.ctypes.data % 256
            self.a = self.raw[off:off + a.nbytes].view(a.dtype).reshape(a.shape)
            self.a[...] = a
            self.ptr = self.a.ctypes.data
            so.emu_buf(self.ptr, a.nbytes)

        def get(self):
            return self.a.copy()

    def launch(name, grid, block, args):
        flat = []
        for a in args:
            if isinstance(a, Real):
                assert len(flat) == 6
                flat += [getattr(a, n) for n, _ in Real._fields_]
            else:
                flat.append(a.ptr if isinstance(a, Buf) else int(a))
        flat += [0] * (13 - len(flat))
        so.emu_launch(getattr(so, name), grid[0], grid[1], block, (ctypes.c_int64 * 13)(*flat))
else:
    import cupy as cp
    cp.zeros(1)
    cuda = ctypes.CDLL("libcuda.so.1")
    FN = {}

    def ok(rc, what):
        if rc:
            raise RuntimeError(f"{what}: CUDA error {rc}")

    for path in ["head_dense", "head_build", "head_screen"]:
        mod = ctypes.c_void_p()
        ok(cuda.cuModuleLoad(ctypes.byref(mod), os.path.join(HERE, path + ".cubin").encode()), path)
        FN[path] = mod

    def function(name):
        if name not in FN:
            f = ctypes.c_void_p()
            for path in ["head_dense", "head_build", "head_screen"]:
                if cuda.cuModuleGetFunction(ctypes.byref(f), FN[path], name.encode()) == 0:
                    break
            else:
                raise RuntimeError("no kernel " + name)
            FN[name] = f
        return FN[name]

    class Buf:
        def __init__(self, a):
            self.d = a if isinstance(a, cp.ndarray) else cp.asarray(np.ascontiguousarray(a))
            self.ptr = self.d.data.ptr

        def get(self):
            return self.d.get()

    def prepare(args):
        cells = []
        for a in args:
            cells.append(a if isinstance(a, Real) else ctypes.c_int64(a.ptr if isinstance(a, Buf) else int(a)))
        return cells, (ctypes.c_void_p * len(cells))(*[ctypes.addressof(c) for c in cells])

    def launch(name, grid, block, args, ready=None):
        cells, arr = ready or prepare(args)
        ok(cuda.cuLaunchKernel(function(name), grid[0], grid[1], 1, block, 1, 1, 0, None, arr, None), name)


def poison(shape, dtype):
    n = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.full(n, 0x7f, np.uint8).view(dtype).reshape(shape)


def up(a, b):
    return -(-a // b)


# --- formats, decoded straight from their description ---------------------------------

def f16(b):
    return b.copy().view(np.float16).astype(np.float64)


def decode(t, raw, n, k):
    if t == "F32": return raw.view(np.float32).reshape(n, k).astype(np.float64)
    if t == "F16": return raw.view(np.float16).reshape(n, k).astype(np.float64)
    if t == "BF16": return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(n, k).astype(np.float64)
    values, size = BLOCK[t]
    b = raw.reshape(-1, size)
    m = len(b)
    out = np.zeros((m, values))
    if t == "Q8_0":
        out[:] = f16(b[:, :2]) * b[:, 2:].view(np.int8)
    elif t in ("Q4_0", "Q4_1", "Q5_0", "Q5_1"):
        q = b[:, -16:]
        code = np.concatenate([q & 15, q >> 4], 1).astype(np.float64)
        if t[1] == "5":
            bits = b[:, -20:-16].copy().view(np.uint32)
            code += 16.0 * (bits >> np.arange(32, dtype=np.uint32) & 1)
        if t.endswith("1"): out[:] = f16(b[:, :2]) * code + f16(b[:, 2:4])
        else: out[:] = f16(b[:, :2]) * (code - (8 if t[1] == "4" else 16))
        out = out.astype(np.float32).astype(np.float64)
    elif t in ("Q4_K", "Q5_K"):
        d, dm, s = f16(b[:, :2])[:, 0], f16(b[:, 2:4])[:, 0], b[:, 4:16].astype(int)
        for j in range(8):
            if j < 4: sc, mn = s[:, j] & 63, s[:, j + 4] & 63
            else: sc, mn = (s[:, j + 4] & 15) | (s[:, j - 4] >> 6) << 4, (s[:, j + 4] >> 4) | (s[:, j] >> 6) << 4
            q = (b[:, size - 128 + 32 * (j // 2):][:, :32] >> (4 * (j % 2)) & 15).astype(int)
            if t == "Q5_K": q = q + 16 * (b[:, 16:48] >> j & 1)
            out[:, 32 * j:32 * j + 32] = (d * sc)[:, None] * q - (dm * mn)[:, None]
        out = out.astype(np.float32).astype(np.float64)
    else:
        d = f16(b[:, 208:210])[:, 0]
        for i in range(256):
            h, q, l = i // 128, i % 128 // 32, i % 32
            lo = b[:, 64 * h + l + 32 * (q % 2)] >> (4 * (q // 2)) & 15
            hi = b[:, 128 + 32 * h + l] >> (2 * q) & 3
            out[:, i] = d * b[:, 192 + 8 * h + 2 * q + l // 16].view(np.int8) * ((lo | hi << 4).astype(int) - 32)
    return out.reshape(n, k)


def packed(t, n, k):
    values, size = BLOCK[t]
    if values == 1:
        v = (rng.standard_normal((n, k)) * 0.02).astype(np.float32)
        if t == "F32": return v.view(np.uint8).reshape(-1)
        if t == "F16": return v.astype(np.float16).view(np.uint8).reshape(-1)
        return (v.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(-1)
    b = rng.integers(0, 256, (n * k // values, size), dtype=np.uint8)
    scales = {"Q6_K": [208], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q4_1": [0, 2], "Q5_1": [0, 2]}.get(t, [0])
    for at in scales:
        b[:, at:at + 2] = (rng.standard_normal((len(b), 1)) * 0.01).astype(np.float16).view(np.uint8)
    return b.reshape(-1)


# --- dense ----------------------------------------------------------------------------

def dense(t, w, x, rows, n, k, dst, ld=None, at=0, factor=None, bias=None, bad=None, stage=0, residual=0, route=None, share=1, xat=0):
    route = route or ("1" if rows == 1 else "4" if rows <= 4 else "16")
    o = Real(dst.ptr, ld or n, at, factor.ptr if factor else 0, bias.ptr if bias else 0, bad.ptr if bad else 0, stage)
    if route == "16": grid, block = (up(rows, 16) if rows > 8 else 1, up(up(n, 32 if rows > 8 else 64), share)), 512
    else: grid, block = (up(up(up(n, 4), 8), share), up(rows, int(route))), 256
    launch(f"dense_{route}_{t}", grid, block, [w, x, rows, n, k, residual, o])


def same(a, b):
    return np.array_equal(np.ascontiguousarray(a).view(np.uint32), np.ascontiguousarray(b).view(np.uint32))


def check_dense():
    for t in TYPES:
        values = BLOCK[t][0]
        for k in ([512, 2560] if values == 256 else [576, 2560, 96] if values == 32 else [576, 100, 61, 2560, 8]):
            n = 71
            raw = packed(t, n, k)
            W = decode(t, raw, n, k)
            w = Buf(raw)
            xs = (rng.standard_normal((37, k)) * 3).astype(np.float32)
            x = Buf(xs)
            one = []
            for r in range(3 if EMU else 37):
                y = Buf(poison((1, n), np.float32))
                dense(t, w, Buf(xs[r:r + 1]), 1, n, k, y, share=1 + r % 3)
                one.append(y.get()[0])
            one = np.array(one)
            m = 8 * up(k, 256) + 5
            ref, size = xs.astype(np.float64) @ W.T, np.abs(xs.astype(np.float64)) @ np.abs(W).T
            off = np.abs(one - ref[:len(one)]) / (size[:len(one)] * 2.0**-24 + 1e-300)
            assert off.max() <= m, (t, k, "off by", off.max(), "roundings of", m)
            for rows in ([3, 9, 18] if EMU else [2, 3, 4, 5, 8, 9, 16, 17, 37]):
                for route in (["4", "16"] if rows in (3, 9) else [None]):
                    y = Buf(poison((rows, n), np.float32))
                    dense(t, w, x, rows, n, k, y, route=route, share=1 + rows % 2)
                    got = y.get()
                    c = min(rows, len(one))
                    assert same(got[:c], one[:c]), (t, k, rows, route, "bits differ from one row")
                    assert (np.abs(got - ref[:rows]) <= size[:rows] * 2.0**-24 * m + 1e-300).all(), (t, k, rows, route)
            # factor, bias, residual, columns of a wider row, notes
            f, b = np.float32([0.37]), rng.standard_normal(n).astype(np.float32)
            for rows in (1, 3, 11) if not EMU or k == 576 else (3,):
                before = rng.standard_normal((rows, n + 9)).astype(np.float32)
                y, bad = Buf(before), Buf(np.full(rows, 0xffffffff, np.uint32))
                dense(t, w, x, rows, n, k, y, ld=n + 9, at=4, factor=Buf(f), bias=Buf(b), bad=bad, stage=5, residual=1)
                plain = Buf(poison((rows, n), np.float32))
                dense(t, w, x, rows, n, k, plain)
                want = before.copy()
                want[:, 4:4 + n] += plain.get() * f + b
                assert same(y.get(), want) and (bad.get() == 0xffffffff).all(), (t, k, rows, "epilogue")
                bent = before.copy()
                bent[rows - 1, 4 + 6], bent[rows - 1, 4 + 9] = np.inf, np.nan
                y = Buf(bent)
                dense(t, w, x, rows, n, k, y, ld=n + 9, at=4, bad=bad, stage=5, residual=1)
                assert bad.get()[rows - 1] == 5 << 21 | 6 << 1 | 1, (t, k, rows, "note", hex(bad.get()[rows - 1]))
            if EMU: so.emu_clear()
    print(f"dense: {len(TYPES)} types, all routes agree bit for bit   {time.time()-T0:.1f} s", flush=True)


# --- screening ------------------------------------------------------------------------

class Screen:
    def __init__(s, t, w, n, k):
        s.t, s.w, s.n, s.k = t, w, n, k
        s.tiles, s.chunks = up(n, 16), up(k, 64)
        big = (lambda shape, dt: cp.full(int(np.prod(shape)) * np.dtype(dt).itemsize, 0x7f, cp.uint8)) if not EMU else poison
        s.codes, s.coefs = Buf(big((s.tiles * s.chunks * 1024,), np.uint8)), Buf(poison((s.tiles * 16, 4), np.float32))
        s.unable = Buf(np.full(1, 0xffffffff, np.uint32))
        half = s.tiles * 2 // 2 // 2 * 2  # two ranges, as a host that copies piece by piece would
        for first, count in ((0, half), (half * 8, s.tiles * 2 - half)):
            if count:
                launch("screen_build", (count, 1), 256, [w, TYPES.index(t), first, n, k, s.chunks, s.codes, s.coefs, s.unable])

    def step(s, rows, room, most):
        groups = next(g for g in (1, 2, 4, 8) if rows <= 8 * g)
        b = dict(acts=poison((s.chunks * groups * 1024,), np.uint8), widths=poison((8 * groups, 2), np.float32), able=poison((8 * groups,), np.int32),
                 uppers=poison((rows, s.tiles * 16), np.float32), tops=poison((rows, s.tiles, 2), np.float32), list=poison((rows, room), np.int32),
                 counts=poison((rows,), np.int32), states=poison((rows,), np.int32), exact=poison((rows, room), np.float32),
                 ids=poison((rows, most), np.int32), best=poison((rows, most), np.float32))
        return groups, {k: Buf(v) for k, v in b.items()}

    def launches(s, x, rows, wanted, room, most, groups, b, blocks):
        grid = min(up(s.tiles, 8), blocks)
        return [
            ("screen_acts", (8 * groups, 1), 256, [x, rows, s.k, s.chunks, groups, b["acts"], b["widths"], b["able"]]),
            (f"screen_bounds_{8*groups}", (grid, 1), 256, [s.codes, s.coefs, b["acts"], b["widths"], s.chunks, s.n, rows, b["uppers"], b["tops"]]),
            ("screen_select", (rows, 1), 1024, [b["uppers"], b["tops"], b["able"], wanted, s.n, room, b["list"], b["counts"], b["states"]]),
            ("screen_rescore", (max(1, 264 // rows) if not EMU else 2, rows), 256, [s.w, TYPES.index(s.t), x, s.k, b["list"], b["counts"], room, b["exact"]]),
            ("screen_choose", (rows, 1), 1024, [b["list"], b["exact"], b["counts"], b["states"], wanted, room, most, b["ids"], b["best"]]),
        ]

    def run(s, xs, wanted, room, blocks=264):
        rows, most = len(xs), int(max(wanted)) + 3
        groups, b = s.step(rows, room, most)
        for l in s.launches(Buf(xs), rows, Buf(np.int32(wanted)), room, most, groups, b, blocks):
            launch(*l)
        return b

    def full(s, xs):
        y = Buf(poison((len(xs), s.n), np.float32))
        dense(s.t, s.w, Buf(xs), len(xs), s.n, s.k, y)
        return y.get()


def largest(row, k):
    cut = np.partition(row, len(row) - k)[len(row) - k]
    ids = np.nonzero(row >= cut)[0]
    return ids[np.lexsort((ids, -row[ids].astype(np.float64)))][:k].astype(np.int32)


def verify(s, xs, wanted, room, name, blocks=264):
    logits, b = s.full(xs), s.run(xs, wanted, room, blocks)
    got = {k: v.get() for k, v in b.items() if k not in ("acts", "exact")}
    left = 0
    coefs, n = s.coefs.get().astype(np.float64), s.n
    for r, k in enumerate(wanted):
        if got["states"][r]:
            left += 1
            assert got["counts"][r] == 0
            continue
        ids = largest(logits[r], k)
        assert np.array_equal(got["ids"][r, :k], ids), (name, r, k, got["ids"][r, :k], ids)
        assert same(got["best"][r, :k], logits[r, ids]), (name, r, k, "logits")
        assert (got["ids"][r, k:] == 0x7f7f7f7f).all(), (name, r, "wrote past the end")
        if r < 6:  # the bounds, in units of the step
            x = xs[r].astype(np.float64)
            step = max(np.abs(x).max() / 32767, np.abs(x).sum() / (2147483647 // 127 - len(x))) * (1 + 2.0**-30)
            t = np.float32(step)
            t = float(np.nextafter(t, np.float32(np.inf)) if t < step else t)
            upper = got["uppers"][r, :n].astype(np.float64)
            a, be = got["widths"][r].astype(np.float64)
            e = coefs[:n, 1] * a + coefs[:n, 2] * be
            d = logits[r].astype(np.float64) / t
            ease = 1e-6 * np.abs(d)
            assert (upper + ease >= d).all() and (upper - 2 * e * (1 - 1e-6) - ease <= d).all(), (name, r, "bounds")
            tight = np.abs(d - (upper - e)) / e
            assert tight.max() < 1 and tight.max() > 0.002, (name, r, tight.max())
    return got["counts"], left


def check_screen():
    sizes = [("F16", 512, 256)] + ([("F16", 203, 100), ("Q8_0", 272, 96), ("BF16", 144, 576)] if EMU else
             [("F16", 49152, 576), ("F16", 1536, 256), ("BF16", 5003, 320), ("Q8_0", 30000, 576), ("F32", 4000, 61), ("Q6_K", 9001, 512), ("Q4_0", 7777, 2560), ("F16", 40000, 2560)])
    for t, n, k in sizes:
        w = Buf(packed(t, n, k))
        s = Screen(t, w, n, k)
        assert s.unable.get()[0] == 0xffffffff, (t, n, k, "unable")
        room = n
        for rows in ([1, 3, 16] if EMU else [1, 3, 16, 64, 30]):
            if EMU and n != 512 and rows == 16: continue
            xs = (rng.standard_normal((rows, k)) * 2).astype(np.float32)
            if rows > 2: xs[1] *= rng.random(k).astype(np.float32) ** 12  # a few large values
            for top in ([1, 5, 40] if not EMU or rows == 3 else [5]):
                wanted = [top] * rows if rows != 30 else list(1 + np.arange(30) % 40)
                counts, left = verify(s, xs, wanted, room, (t, n, k, rows, top), 264 if top == 1 else 3)
                assert left == 0, (t, n, k, rows, top, left)
                if rows in (3, 16): print(f"  {t} {n}x{k}, {rows} rows, k={top}: {counts.mean():.1f} rescored of {n}", flush=True)
        if EMU: so.emu_clear()
    # duplicates and near ties: many equal logits, the lower id must win
    n, k = (320, 128) if EMU else (20000, 512)
    base = (rng.standard_normal((n // 40, k)) * 0.02).astype(np.float16)
    head = np.tile(base, (40, 1))
    head[rng.integers(0, n, n // 10), rng.integers(0, k, n // 10)] *= np.float16(1.001)
    head[7] = 0
    s = Screen("F16", Buf(head), n, k)
    xs = (rng.standard_normal((9, k))).astype(np.float32)
    counts, left = verify(s, xs, [1, 5, 40, 41, 1, 2, 3, 100, 128], n, "ties")
    print(f"  near ties: {counts.mean():.1f} rescored of {n}, {left} left over")
    assert left == 0
    s = Screen("F16", Buf(np.zeros((n, k), np.float16)), n, k)
    b = s.run(xs, [3] * 9, n)
    assert (b["counts"].get() == n).all() and (b["ids"].get()[:, :3] == [0, 1, 2]).all() and (b["best"].get()[:, :3] == 0).all(), "zero head"
    b = s.run(xs, [3] * 9, n - 1)
    assert (b["states"].get() == 2).all() and (b["counts"].get() == 0).all(), "a list too long"
    # codes that miss nothing: the bounds are as wide as the rounding of the activations
    n, k = (100, 128) if EMU else (4000, 512)
    head = rng.integers(-127, 128, (n, k))
    head[np.arange(n), rng.integers(0, k, n)] = 127
    xs = rng.standard_normal((5, k)).astype(np.float32)
    s = Screen("F16", Buf((head * 2.0**-10).astype(np.float16)), n, k)
    counts, left = verify(s, xs, [1, 5, 2, 3, 4], n, "exact codes")
    assert left == 0 and (s.coefs.get()[:n, 1] == 2.0**-50).all(), "exact codes"
    # all logits below zero, and rows of the last tile that are no rows
    for n in (203, 1):
        s = Screen("F16", Buf(-np.abs(rng.standard_normal((n, k)) * 0.02 + 0.5).astype(np.float16)), n, k)
        assert verify(s, np.abs(xs), [1, min(5, n)] + [1] * 3, n, "below zero")[1] == 0
    # rows without bounds, beside others
    n, k = (160, 64) if EMU else (3000, 192)
    s = Screen("F16", Buf(packed("F16", n, k)), n, k)
    xs = rng.standard_normal((8, k)).astype(np.float32)
    xs[1], xs[2], xs[3, 5], xs[4, 60], xs[6] = 0, 1e30, np.nan, -np.inf, 1e-30
    b = s.run(xs, [5] * 8, n)
    assert list(b["states"].get()) == [0, 1, 1, 1, 1, 0, 1, 0], b["states"].get()
    verify(s, xs[[0, 5, 7]], [5] * 3, n, "beside others")
    for r in (0, 5, 7):
        assert np.array_equal(b["ids"].get()[r, :5], largest(s.full(xs[r:r + 1])[0], 5))
    for v in (np.nan, np.inf, -np.inf):
        head = (rng.standard_normal((n, k)) * 0.02).astype(np.float16)
        head[n - 3, 17] = head[n - 1, 2] = v
        assert Screen("F16", Buf(head), n, k).unable.get()[0] == n - 3, v
    print(f"screening: exact everywhere   {time.time()-T0:.1f} s", flush=True)


# --- times ----------------------------------------------------------------------------

def timed(calls, repeat=20):
    ready = [(n, g, b, a, prepare(a)) for n, g, b, a in calls]
    for _ in range(3):
        for c in ready: launch(*c)
    a, b = cp.cuda.Event(), cp.cuda.Event()
    a.record()
    for _ in range(repeat):
        for c in ready: launch(*c)
    b.record()
    b.synchronize()
    return cp.cuda.get_elapsed_time(a, b) / repeat * 1000


def times():
    n, k = 128256, 2560
    cp.random.seed(1)
    w = Buf((cp.random.standard_normal((n, k), dtype=cp.float32) * 0.02).astype(cp.float16))
    xs = rng.standard_normal((64, k)).astype(np.float32)
    x = Buf(xs)
    y = Buf(cp.zeros((64, n), cp.float32))
    o = Real(y.ptr, n, 0, 0, 0, 0, 0)
    for share in (1, 2, 3, 4, 8, 11):
        us = timed([("dense_1_F16", (up(up(up(n, 4), 8), share), 1), 256, [w, x, 1, n, k, 0, o])])
        print(f"F16 head, 1 row, {share} groups a warp: {us:.1f} us, {n*k*2/us/1e6:.2f} TB/s")
    for rows, route in ((2, "4"), (4, "4"), (8, "16"), (16, "16"), (64, "16")):
        for share in (1, 4):
            grid = (up(rows, 16) if rows > 8 else 1, up(up(n, 32 if rows > 8 else 64), share)) if route == "16" else (up(up(up(n, 4), 8), share), up(rows, 4))
            us = timed([(f"dense_{route}_F16", grid, 512 if route == "16" else 256, [w, x, rows, n, k, 0, o])], 5)
            print(f"F16 head, {rows} rows, share {share}: {us:.1f} us, {2*n*k*rows/us/1e6:.1f} TFLOP/s")
    s = Screen("F16", w, n, k)
    assert s.unable.get()[0] == 0xffffffff
    for rows in (1, 4, 16, 32, 64):
        for top in (1, 40) if rows in (1, 64) else (1,):
            room, most = up(n, 8), top
            groups, b = s.step(rows, room, most)
            for blocks in (132, 264, 336, 502, 1002):
                calls = s.launches(x, rows, Buf(np.full(rows, top, np.int32)), room, most, groups, b, blocks)
                each = [f"{c[0][7:]} {timed([c]):.1f}" for c in calls] if blocks == 264 else [f"bounds {timed(calls[1:2]):.1f}"]
                print(f"screening, {rows} rows, k={top}, {blocks} blocks: {timed(calls):.1f} us  ({', '.join(each)})")
            print(f"  rescored {b['counts'].get().mean():.1f} a row, states {sorted(set(b['states'].get()))}", flush=True)
    counts, left = verify(s, xs[:4], [1, 5, 40, 128], up(n, 8), "large")
    print("large head exact; rescored", counts, "left", left)
    us = timed([("screen_build", (s.tiles * 2, 1), 256, [w, 1, 0, n, k, s.chunks, s.codes, s.coefs, s.unable])], 2)
    print(f"screen_build: {us/1000:.2f} ms   whole script {time.time()-T0:.1f} s")


check_dense()
check_screen()
if not EMU:
    times()
print("OK")
