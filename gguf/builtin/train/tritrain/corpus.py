"""Documents: a list of turns (question or None, text); None is plain text without a chat around it."""

import pathlib
import re

from . import copying, facts, stories, sums, talk
from .chance import pick


def _facts(r):
    out = []
    for _ in range(pick(r, [(6, 1), (1, 2), (1, 3)])):
        question, answer = facts.fact(r)
        while question is not None:
            question, answer = facts.fact(r)
        out.append(answer)
    return " ".join(out)


_TURN = [
    (36, lambda r: [sums.asked(r)]),
    (6, lambda r: [sums.counting(r)]),
    (4, lambda r: [facts.number_word(r)]),
    (27, lambda r: [facts.asked(r)]),
    (9, lambda r: [talk.refusal(r)]),
    (5, lambda r: [talk.talk(r)]),
    (13, copying.asked),
]


def _chat(r):
    """One to five turns, of one kind or mixed; at times a story among them."""
    one_kind, turns = pick(r, _TURN) if r.random() < .3 else None, []
    for _ in range(r.randint(1, 5)):
        turns += (one_kind or pick(r, _TURN))(r)
    if len(turns) <= 2 and r.random() < .2:
        turns.insert(0, talk.talk(r))
    if len(turns) <= 4 and r.random() < .22:
        turns.insert(r.randint(0, len(turns)), stories.request(r)[:2])
    return turns


_DOCUMENT = [
    (4, lambda r: [(None, stories.plain(r))]),
    (19, lambda r: [stories.request(r)[:2]]),
    (14, lambda r: [(None, sums.many(r))]),
    (5, lambda r: [(None, sums.single(r))]),
    (7, lambda r: [(None, _facts(r))]),
    (5, lambda r: [(None, copying.plain(r))]),
    (46, _chat),
]


def document(r):
    """One document of the generated corpus."""
    return pick(r, _DOCUMENT)(r)


def from_folder(folder):
    """The paragraphs of all .txt files under a folder, as plain documents."""
    files = sorted(pathlib.Path(folder).rglob("*.txt"))
    if not files:
        raise SystemExit(f"no .txt file under {folder}")
    return [[(None, p.strip())] for f in files for p in re.split(r"\n\s*\n", f.read_text(errors="replace")) if p.strip()]
