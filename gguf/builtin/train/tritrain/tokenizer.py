"""The vocabulary (byte-level BPE, pre-tokenizer of llama-bpe, digits always alone) and the form of documents as ids."""

import random
import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import corpus
from .stories import MARK, UNMARK
from .words import CAPITALS

BOS, EOS, EOT = 0, 1, 2
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
USER, ASSISTANT = "User: ", "Assistant: "

_MARKS = re.compile(f"[{MARK}{UNMARK}]")


def unmarked(text):
    return _MARKS.sub("", text)


def train(documents, size):
    """A vocabulary from texts. Digits are left out, so that no merge contains one."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), "isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    texts = []
    for turns in documents:
        for question, text in turns:
            texts += [] if question is None else [USER + question, ASSISTANT]
            texts.append(unmarked(text))
    tok.train_from_iterator((re.sub(r"\d+", " ", t) for t in texts), trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tok


def train_generated(size, seed=7, documents=40000):
    """The vocabulary of the generated corpus; names of capitals and countries are given some weight."""
    r = random.Random(seed)
    extra = [[(None, f"The capital of {c} is {p}.")] for c, p in CAPITALS for _ in range(20)]
    return train([corpus.document(r) for _ in range(documents)] + extra, size)


class Writer:
    """Turns documents into ids and loss weights, which are in halves: 2 is an ordinary token, 0 one that is not learned."""

    PLAIN, RESULT, COPY = 2, 6, 5

    def __init__(self, tok):
        self.tok = tok
        self.equals = tok.encode(" =").ids[-1]
        self.digits = {tok.token_to_id(str(i)) for i in range(10)}
        self.space = tok.token_to_id("Ġ")
        self.dot = tok.encode(".").ids[0]

    def segments(self, r, turns):
        """[(kind, text)]: p plain, u question, h head of an answer, a answer, j head and answer as one text.

        A new answer follows "Assistant: ", whose space is a token of its own; a chat that is rendered again has the space in
        the answer's first word. Both are learned.
        """
        out = []
        for i, (question, text) in enumerate(turns):
            if question is None:
                out.append(("p", text))
                continue
            out.append(("u", USER + question))
            if r.random() < (.1 if i == len(turns) - 1 else .6):
                out.append(("j", ASSISTANT + text))
            else:
                out += [("h", ASSISTANT), ("a", text)]
        return out

    def write(self, r, documents):
        """For each document ([ids], [weights])."""
        segments = [self.segments(r, d) for d in documents]
        encoded = iter(self.tok.encode_batch([unmarked(t) for s in segments for _, t in s], add_special_tokens=False))
        for s in segments:
            ids, weights = [BOS], [0]
            for kind, text in s:
                e = next(encoded)
                ids += e.ids
                if kind in "uh":
                    weights += [0] * len(e.ids)
                else:
                    weights += self._weights(e, text, len(ASSISTANT) - 1 if kind == "j" else 0)
                if kind != "h":
                    ids.append(EOS if kind == "p" else EOT)
                    weights.append(0 if kind == "u" else self.PLAIN)
            yield ids, weights

    def _weights(self, e, text, skip):
        """More for results of sums and for what is copied; nothing before the character skip."""
        out, on = [], False
        for z in e.ids:
            number = z in self.digits or z == self.dot
            out.append(self.RESULT if on and number else self.PLAIN)
            on = z == self.equals or on and (number or z == self.space)
        if MARK in text:
            for a, b in _spans(text):
                for i, (x, y) in enumerate(e.offsets):
                    if x < b and y > a:
                        out[i] = self.COPY
        if skip:
            for i, (x, _) in enumerate(e.offsets):
                if x < skip:
                    out[i] = 0
        return out


def _spans(text):
    """Where the marked words are once the marks are out."""
    spans, at, start = [], 0, 0
    for c in text:
        if c == MARK:
            start = at
        elif c == UNMARK:
            spans.append((start, at))
        else:
            at += 1
    return spans


def chat_ids(tok, messages):
    """The ids of a chat [question, answer, question ...] that waits for an answer."""
    ids = [BOS]
    for i, text in enumerate(messages):
        ids += tok.encode((ASSISTANT if i % 2 else USER) + text, add_special_tokens=False).ids + [EOT]
    return ids + tok.encode(ASSISTANT, add_special_tokens=False).ids


def plain_ids(tok, text):
    return [BOS] + tok.encode(text, add_special_tokens=False).ids
