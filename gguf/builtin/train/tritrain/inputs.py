"""What every product of the exact forward pass reads, before and after it is rounded to int8: for tracing where an engine rounds otherwise.

    items.json   [{"ids": prompt and greedy answer without its last token, "answer": where the answer begins}]
    000.bin ...  of one item each: for every block and of it attn_norm, attn_sub_norm, ffn_norm, ffn_sub_norm the values, float32
                 [tokens][width], and the codes, int8 [tokens][width]; then the logits, float32 [tokens][vocab]

The prompts and answers are those of stages/testdata/mini.json.
"""

import json

import torch

from .quantized import Quantized

READERS = ("q", "o", "gate", "down")  # one matrix of each input


def write(repository, folder, count, log=print):
    model = Quantized.from_gguf(repository / "gguf/builtin/mini.gguf", device="cpu")
    items = json.loads((repository / "stages/testdata/mini.json").read_text())["items"][:count]
    linear, codes, seen = model.linear, model.round, []

    def recording(x, name):
        if name.split(".")[-1] in READERS:
            seen.append(x[0].numpy().astype("<f4"))
            seen.append(codes(x)[0].numpy().astype("i1"))
        return linear(x, name)

    model.linear = recording
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for i, item in enumerate(items):
        ids = item["ids"] + item["greedy"][:-1]
        seen.clear()
        with torch.no_grad():
            real = torch.ones(1, len(ids), dtype=torch.bool)
            logits = model.forward(torch.tensor([ids]), model.cache(1, len(ids)), 0, real, everywhere=True)[0]
        with open(folder / f"{i:03}.bin", "wb") as f:
            for x in seen + [logits.numpy().astype("<f4")]:
                f.write(x.tobytes())
        index.append(dict(ids=ids, answer=len(item["ids"])))
    (folder / "items.json").write_text(json.dumps(index))
    log(f"{folder}: {len(index)} prompts")
