"""python -m tritrain STEP: see README.md beside this package."""

import argparse
import json
import os
import pathlib
import time


def _corpus(a):
    from . import corpus, pack, tokenizer
    began = time.time()
    a.work.mkdir(parents=True, exist_ok=True)
    if a.text:
        tok = tokenizer.train(corpus.from_folder(a.text), a.vocab)
    else:
        tok = tokenizer.train_generated(a.vocab)
    tok.save(str(a.work / "tokenizer.json"))
    tokens, long = pack.build(a.work, a.corpus_tokens, a.context, a.text)
    print(f"{tokens:,} tokens packed, {long} documents were too long, {time.time() - began:.0f} s")


def _train(a):
    from . import train
    from .model import Config
    from tokenizers import Tokenizer
    vocab = Tokenizer.from_file(str(a.work / "tokenizer.json")).get_vocab_size()
    config = Config(vocab=vocab, width=a.width, blocks=a.blocks, heads=a.heads, kv_heads=a.kv_heads, ffn=a.ffn)
    train.train(a.work, a.out, config, a.tokens, a.batch, a.peak, a.optimizer, a.seed, a.save_every, compiled=not a.no_compile,
                log=lambda line: print(line, flush=True))


def _export(a):
    from . import export
    from .quantized import Quantized
    path = a.out / "mini.gguf"
    export.write(path, Quantized.from_checkpoint(a.out / "checkpoint.pt", device="cpu"), a.work / "tokenizer.json")
    print(f"{path}: {path.stat().st_size:,} bytes")


def _eval(a):
    from tokenizers import Tokenizer

    from . import evalset, evaluate
    from .quantized import Quantized
    model, floating = (Quantized.from_gguf(a.out / "mini.gguf", exact=e) for e in (True, False))
    tok, data = Tokenizer.from_file(str(a.work / "tokenizer.json")), evalset.build()
    rows = evaluate.table(model, tok, data)
    mean, least, equal = evaluate.rounding(model, floating, tok, data)
    print(f"int8 against float activations: correlation {mean:.5f}, least {least:.5f}; first token equal {100 * equal:.0f} %")
    different, most = evaluate.plots(model, tok, data)
    print(f"60 greedy stories: {different} different fourth sentences, the commonest {most} times")
    result = dict(rows=rows, rounding=dict(mean=mean, least=least, equal=equal), plots=dict(different=different, commonest=most))
    (a.out / "eval.json").write_text(json.dumps(result, indent=1, ensure_ascii=False))


def _publish(a):
    from . import publish
    publish.publish(a)


def _inputs(a):
    from . import inputs
    inputs.write(a.repository, a.out, a.prompts)


_STEPS = dict(corpus=[_corpus], train=[_train], eval=[_eval], export=[_export], publish=[_publish], inputs=[_inputs])
_STEPS["model"] = [_train, _export, _eval]
_STEPS["all"] = [_corpus, _train, _export, _eval]


def main():
    p = argparse.ArgumentParser(prog="tritrain", description="Trains a small ternary model. Every step can be repeated; train goes on where it was.")
    p.add_argument("step", choices=_STEPS, help="all: everything from nothing")
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("work"), help="folder of tokenizer and corpus")
    p.add_argument("--out", type=pathlib.Path, help="folder of the checkpoint and what is made from it (default: --work)")
    p.add_argument("--text", type=pathlib.Path, help="train on the .txt files of this folder instead of the generated corpus")
    p.add_argument("--corpus-tokens", type=float, default=28e6)
    p.add_argument("--context", type=int, default=320, help="tokens of a row")
    p.add_argument("--vocab", type=int, default=1536)
    p.add_argument("--tokens", type=float, default=27e6, help="tokens to train on")
    p.add_argument("--batch", type=int, default=16, help="rows of a step")
    p.add_argument("--peak", type=float, default=6e-3, help="highest learning rate")
    p.add_argument("--save-every", type=int, default=500, help="steps from checkpoint to checkpoint")
    p.add_argument("--optimizer", choices=("muon", "adam"), default="muon")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--width", type=int, default=256)
    p.add_argument("--blocks", type=int, default=6)
    p.add_argument("--heads", type=int, default=4)
    p.add_argument("--kv-heads", type=int, default=2)
    p.add_argument("--ffn", type=int, default=768)
    p.add_argument("--threads", type=int, help="threads of PyTorch (default: all cores)")
    p.add_argument("--no-compile", action="store_true", help="without torch.compile: for short trials")
    p.add_argument("--prompts", type=int, default=100, help="inputs: how many prompts")
    p.add_argument("--repository", type=pathlib.Path, default=pathlib.Path(__file__).parents[4], help="publish: where files go; inputs: where they come from")
    a = p.parse_args()
    a.out = a.out or a.work
    if a.threads or not os.environ.get("OMP_NUM_THREADS"):
        import torch
        torch.set_num_threads(a.threads or os.cpu_count())
    for step in _STEPS[a.step]:
        step(a)


if __name__ == "__main__":
    main()
