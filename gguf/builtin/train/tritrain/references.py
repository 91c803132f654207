"""What tritflow's tests compare with: 100 prompts, the exact forward pass's greedy answers, and logits of both forward passes."""

import json

import numpy as np

from .evaluate import prompt_ids
from .second import Second
from .tokenizer import chat_ids, plain_ids

CHAT = ["What is 27 + 15?", "What is 83 - 47?", "What is the capital of Kenya?", "Tell me a story about Mia and a red kite.", "Who are you?",
        "What is the opposite of hot?", "What sound does a cow make?", "Tell me a story about Leo, a lantern and a fox.", "What is 99 + 99?", "Hello!"]
PLAIN = ["The capital of France is", "Once upon a time", "5 + 7 =", "The opposite of big is", "The capital of Japan is", "One day", "12 + 30 =",
         "A dog says", "The days of the week are", "Once upon a time, there was a young girl named Lucy."]
COUNT, MOST = 100, 64


def _prompts(tok, data):
    """[(kind, last message, ids)]: the twenty of always, then items from every group of the evaluation set in turn."""
    out = [("chat", p, chat_ids(tok, [p])) for p in CHAT] + [("plain", p, plain_ids(tok, p)) for p in PLAIN]
    turn = 0
    while len(out) < COUNT:
        for g in data["groups"]:
            item = g["items"][(turn * 37 + 5) % len(g["items"])]
            kind = g["kind"] if len(item["m"]) == 1 else "talk"
            if len(out) < COUNT:
                out.append((kind, item["m"][-1], prompt_ids(tok, g, item)))
        turn += 1
    return out


def write(repository, path, model, tok, data, log=print):
    """stages/testdata: mini.json, mini.logits.i16 [100, vocab] and mini.second.i16 [20, vocab]; gguf/vocab/testdata: mini.json."""
    prompts, second = _prompts(tok, data), Second(path)
    answers = model.greedy([ids for _, _, ids in prompts], MOST)
    first = np.stack([model.logits(ids).numpy() for _, _, ids in prompts])
    other = np.stack([second.logits(ids)[-1] for _, _, ids in prompts])
    apart = np.abs(first - other).mean(-1)
    same = int((first.argmax(-1) == other.argmax(-1)).sum())
    log(f"the two forward passes on {COUNT} prompts: mean |difference| of logits {apart.mean():.3f}, most {apart.max():.3f}; {same} equal first tokens")
    items = [json.dumps(dict(kind=k, prompt=p, ids=ids, greedy=g, text=tok.decode(g)), ensure_ascii=False)
             for (k, p, ids), g in zip(prompts, answers)]
    few = len(CHAT) + len(PLAIN)
    folder = repository / "stages/testdata"
    (folder / "mini.json").write_text('{"shape": [%d, %d], "items": [\n%s\n]}\n' % (*first.shape, ",\n".join(items)))
    for name, logits in (("mini.logits.i16", first), ("mini.second.i16", other[:few])):
        if np.abs(logits).max() >= 63:
            raise SystemExit(f"logits of {np.abs(logits).max():.0f} do not fit into 16 bits in units of 1/512")
        np.rint(logits * 512).astype("<i2").tofile(folder / name)
    (repository / "gguf/vocab/testdata/mini.json").write_text("[\n" + ",\n".join(items[:few]) + "\n]\n")
