"""Runs llama.cpp (the Python package llama-cpp-python) for `tritflow crossval`.

Standard input: one JSON object
  {"model", "out", "prompts": [{"prompt", "tokens"}], "n", "threads", "kv", "tensors"}
Into the folder out: for every prompt the logits of all positions of the prompt and of n greedy tokens, as float32,
the residual stream after every block for the first prompt, and reference.json.
"""

import array
import ctypes
import glob
import json
import os
import sys
import time

import llama_cpp as L


def say_nothing(_level, _text, _data):
    pass


QUIET = L.llama_log_callback(say_nothing)


def load(job):
    L.llama_log_set(QUIET, ctypes.c_void_p(0))
    L.llama_backend_init()
    params = L.llama_model_default_params()
    params.n_gpu_layers = 0
    model = L.llama_model_load_from_file(job["model"].encode(), params)
    if not model:
        sys.exit("llama.cpp cannot load " + job["model"])
    return model


class Tensors:
    """Keeps the residual stream (l_out) of every block while llama.cpp evaluates a graph."""

    def __init__(self):
        lib = glob.glob(os.path.join(os.path.dirname(L.__file__), "lib", "*ggml-base*"))
        if not lib:
            sys.exit("llama-cpp-python has no ggml-base library beside it")
        self.g = g = ctypes.CDLL(lib[0])
        g.ggml_get_name.restype, g.ggml_get_name.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
        g.ggml_nelements.restype, g.ggml_nelements.argtypes = ctypes.c_int64, [ctypes.c_void_p]
        g.ggml_nbytes.restype, g.ggml_nbytes.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
        g.ggml_backend_tensor_get.restype = None
        g.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        self.seen, self.on = [], False
        kind = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)
        self.callback = kind(self.see)

    def see(self, tensor, ask, _data):
        name = self.g.ggml_get_name(tensor).decode()
        wanted = self.on and name.startswith("l_out-")
        if ask:
            return wanted
        if wanted:
            size, count = self.g.ggml_nbytes(tensor), self.g.ggml_nelements(tensor)
            if size == 4 * count:
                buf = ctypes.create_string_buffer(size)
                self.g.ggml_backend_tensor_get(tensor, buf, 0, size)
                self.seen.append((name, buf.raw))
        return True

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        index = []
        for i, (name, data) in enumerate(self.seen):
            with open(os.path.join(folder, f"{i}.f32"), "wb") as f:
                f.write(data)
            index.append(dict(file=f"{i}.f32", name=name, step=0))
        with open(os.path.join(folder, "index.json"), "w") as f:
            json.dump(index, f)


def context(job, model, longest, tensors):
    params = L.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = longest
    params.n_threads = params.n_threads_batch = job["threads"]
    params.type_k = params.type_v = {"f32": 0, "f16": 1, "q8_0": 8, "q4_0": 2}[job["kv"]]
    params.flash_attn_type = 0
    params.no_perf = True
    if tensors:
        params.cb_eval = ctypes.cast(tensors.callback, type(params.cb_eval))
    ctx = L.llama_init_from_model(model, params)
    if not ctx:
        sys.exit("llama.cpp cannot make a context of %d tokens" % longest)
    return ctx


def feed(ctx, vocab, tokens, start):
    """Logits of every token, as bytes."""
    n = len(tokens)
    batch = L.llama_batch_init(n, 0, 1)
    batch.n_tokens = n
    for i, t in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = t, start + i, 1, 1
        batch.seq_id[i][0] = 0
    if L.llama_decode(ctx, batch) != 0:
        sys.exit("llama.cpp failed on a batch")
    rows = [ctypes.string_at(L.llama_get_logits_ith(ctx, i), 4 * vocab) for i in range(n)]
    L.llama_batch_free(batch)
    return rows


def best(row):
    values = array.array("f", row)
    top = max(values)
    return values.index(top)


def tokenize(vocab, text):
    data = text.encode()
    room = (L.llama_token * (len(data) + 8))()
    n = L.llama_tokenize(vocab, data, len(data), room, len(room), True, True)
    return list(room[:n])


def main():
    job = json.load(sys.stdin)
    model = load(job)
    vocabulary = L.llama_model_get_vocab(model)
    vocab = L.llama_vocab_n_tokens(vocabulary)
    tensors = Tensors() if job["tensors"] else None
    ctx = context(job, model, max(len(p["tokens"]) for p in job["prompts"]) + job["n"] + 8, tensors)
    items = []
    for i, p in enumerate(job["prompts"]):
        L.llama_memory_clear(L.llama_get_memory(ctx), True)
        ids = list(p["tokens"])
        if tensors and i == 0:
            tensors.on = True
        began = time.perf_counter()
        rows = feed(ctx, vocab, ids, 0)
        prefill = len(ids) / (time.perf_counter() - began)
        if tensors and i == 0:
            tensors.on = False
            tensors.write(os.path.join(job["out"], "case0-tensors"))
        began = time.perf_counter()
        for _ in range(job["n"]):
            ids.append(best(rows[-1]))
            rows += feed(ctx, vocab, ids[-1:], len(ids) - 1)
        decode = job["n"] / max(time.perf_counter() - began, 1e-9)
        name = "case%d.f32" % i
        with open(os.path.join(job["out"], name), "wb") as f:
            f.writelines(rows)
        item = dict(file=name, tokens=ids, shape=[len(ids), vocab], given=len(p["tokens"]), prompt=p.get("prompt", ""), prefill_tok_s=prefill)
        if job["n"]:
            item["decode_tok_s"] = decode
        if p.get("prompt"):
            item["tokenized"] = tokenize(vocabulary, p["prompt"])
        if tensors and i == 0:
            item["tensors"] = "case0-tensors"
        items.append(item)
    engine = "llama.cpp (llama-cpp-python %s), KV cache %s, no flash attention, %d threads" % (L.__version__, job["kv"], job["threads"])
    with open(os.path.join(job["out"], "reference.json"), "w") as f:
        json.dump(dict(engine=engine, items=items), f)


main()
