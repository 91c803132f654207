"""The table of the model card: every group of the evaluation set through the exact quantized forward pass."""

import re

import torch
import torch.nn.functional as F

from .tokenizer import EOS, EOT, chat_ids, plain_ids


def _right(item, text, ended):
    if not ended:
        return False
    if "a" in item:
        return text == item["a"]
    return all(re.search(rf"\b{re.escape(w)}\b", text) for w in item["w"])


def prompt_ids(tok, group, item):
    return chat_ids(tok, item["m"]) if group["kind"] == "chat" else plain_ids(tok, item["m"][0])


def table(model, tok, data, log=print):
    """[{name, right, of, target, wrong: [(question, answer)]}]."""
    rows = []
    for g in data["groups"]:
        answers = model.greedy([prompt_ids(tok, g, x) for x in g["items"]], g["tokens"])
        end, wrong = EOT if g["kind"] == "chat" else EOS, []
        for item, ids in zip(g["items"], answers):
            text = tok.decode(ids)
            if not _right(item, text, ids[-1] == end):
                wrong.append((item["m"][-1], text))
        right = len(g["items"]) - len(wrong)
        share = right / len(g["items"])
        rows.append(dict(name=g["name"], right=right, of=len(g["items"]), target=g["target"], wrong=wrong))
        log(f"{'ok  ' if share >= g['target'] else 'LOW '} {g['name']:40} {right:4}/{len(g['items']):4} {100 * share:6.1f} %  (target {100 * g['target']:.0f} %)")
    return rows


def plots(model, tok, data, n=60):
    """How many different first 40 characters after the hero's sentence n greedy stories have: do plots vary?"""
    group = next(g for g in data["groups"] if g["name"].startswith("stories, held-out"))
    answers = model.greedy([prompt_ids(tok, group, x) for x in group["items"][:n]], group["tokens"])
    seen = {}
    for item, ids in zip(group["items"], answers):
        text = tok.decode(ids)
        for w in item["w"]:
            text = text.replace(w, "_")
        for sentence in re.split(r"(?<=[.!?\"]) ", text)[3:4]:
            seen[sentence] = seen.get(sentence, 0) + 1
    return len(seen), max(seen.values(), default=0)


@torch.no_grad()
def rounding(model, floating, tok, data, n=100):
    """(mean correlation, least, share of equal first tokens) of logits with and without int8 activations."""
    prompts = [prompt_ids(tok, g, x) for g in data["groups"] for x in g["items"][:: max(1, len(g["items"]) // 6)]][:n]
    correlations, equal = [], 0
    for ids in prompts:
        a, b = model.logits(ids), floating.logits(ids)
        correlations.append(F.cosine_similarity(a - a.mean(), b - b.mean(), 0).item())
        equal += int(a.argmax() == b.argmax())
    return sum(correlations) / len(correlations), min(correlations), equal / len(prompts)
