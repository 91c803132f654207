"""Puts a trained model into the repository: the file, its digest, evaluation set, card, references, curve, table and examples."""

import hashlib
import json
import re

from tokenizers import Tokenizer

from . import curve, evalset, examples, references
from .quantized import Quantized

_TABLE = re.compile(r"(<!-- table, written by tritrain publish -->\n).*?(<!-- end of table -->)", re.S)


def card(data, history, result):
    """What gguf/builtin/card.json holds; the rows are those of the trainer's exact forward pass."""
    last = history["history"][-1]
    run = {k: history[k] for k in ("device", "seconds", "tokens", "batch", "context", "peak", "optimizer", "seed")}
    return dict(name="tritflow mini", license="Apache-2.0", bytes=len(data), sha256=hashlib.sha256(data).hexdigest(),
                parameters=history["parameters"], network=history["config"], training=dict(run, loss=last["loss"], validation=last["validation"]),
                rounding=result["rounding"], plots=result["plots"],
                rows=[{k: r[k] for k in ("name", "right", "of", "target")} for r in result["rows"]])


def table(c):
    lines = ["| questions | right | | target |", "|---|---|---|---|"]
    lines += [f"| {r['name']} | {r['right']} of {r['of']} | {100 * r['right'] / r['of']:.1f} % | {100 * r['target']:.0f} % |" for r in c["rows"]]
    return "\n".join(lines) + "\n"


def publish(a):
    repository, builtin = a.repository, a.repository / "gguf/builtin"
    data = (a.out / "mini.gguf").read_bytes()
    history, result = (json.loads((a.out / f).read_text()) for f in ("history.json", "eval.json"))
    (builtin / "mini.gguf").write_bytes(data)
    c = card(data, history, result)
    (builtin / "card.json").write_text(json.dumps(c, indent=1) + "\n")
    source = builtin / "builtin.go"
    source.write_text(re.sub(r'(const SHA256 = )"[0-9a-f]*"', rf'\1"{c["sha256"]}"', source.read_text()))

    tok, questions = Tokenizer.from_file(str(a.work / "tokenizer.json")), evalset.build()
    evalset.save(builtin / "evalset.json", questions)
    references.write(repository, a.out / "mini.gguf", Quantized.from_gguf(a.out / "mini.gguf", device="cpu"), tok, questions)
    (repository / "docs/builtin-loss.svg").write_text(curve.svg(history["history"], f"{c['name']}: loss, {history['tokens'] / 1e6:.0f} million tokens"))
    folder = repository / "docs/examples"
    folder.mkdir(exist_ok=True)
    print(f"{examples.write(folder, questions)} example requests")
    page = repository / "docs/builtin.md"
    if page.exists():
        page.write_text(_TABLE.sub(lambda m: m[1] + table(c) + m[2], page.read_text()))
