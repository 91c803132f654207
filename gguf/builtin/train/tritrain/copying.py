"""Short texts that can only be continued by looking back: they teach copying for a fraction of what stories cost."""

from . import invent
from .chance import article, pick
from .stories import MARK, UNMARK, hero, thing
from .words import ADJECTIVES, PLACES


def _m(word):
    return MARK + word + UNMARK


def _name(r):
    return invent.name(r) if r.random() < .75 else hero(r)[0]


def _thing(r):
    return invent.thing(r) if r.random() < .75 else thing(r)[0]


def _names(r, k):
    out = []
    while len(out) < k:
        n = _name(r)
        if n not in out:
            out.append(n)
    return out


def asked(r):
    """[(question, answer), ...]: a question whose answer is in it, or a short talk."""
    a, b = _names(r, 2)
    t, u = _thing(r), _thing(r)
    adj, (prep, place) = r.choice(ADJECTIVES), r.choice(PLACES)
    at = article(adj + " " + t) if r.random() < .5 else article(t)
    mt = at.replace(t, _m(t))
    return pick(r, [
        (2, [(f"My name is {a}.", f"Hello, {_m(a)}! How can I help you?")]),
        (2, [(f"My name is {a}.", f"Hello, {_m(a)}! How can I help you?"), ("What is my name?", f"Your name is {_m(a)}.")]),
        (1, [(f"I am {a}. Who am I?", f"You are {_m(a)}.")]),
        (2, [(f"{a} and {b} went to {place}. Who went to {place}?", f"It was {_m(a)} and {_m(b)}.")]),
        (2, [(f"{a} has {at}. What does {a} have?", f"The answer is {mt}.")]),
        (2, [(f"{a} gave {at} to {b}. Who has the {t}?", f"Now {_m(b)} has the {_m(t)}.")]),
        (2, [(f"{a} gave {at} to {b}. Who gave the {t} away?", f"It was {_m(a)}.")]),
        (2, [(f"I have {at}.", f"What a nice {_m(t)}!")]),
        (1, [(f"I have {at} and {article(u)}.", f"So you have {mt} and {article(u).replace(u, _m(u))}.")]),
        (2, [(f"Repeat the word {t}.", f"The word is {_m(t)}.")]),
        (1, [(f"Say the name {a}.", f"The name is {_m(a)}.")]),
        (2, [(f"Write a sentence about {a} and {at}.", f"One day, {_m(a)} found {mt} {prep} {place}.")]),
        (2, [(f"Write a sentence about {at}.", f"There was {mt} {prep} {place}.")]),
    ])


def plain(r):
    """A list of words, and again: nothing but looking back helps."""
    k = r.randint(2, 7)
    words = [_name(r) if r.random() < .4 else _thing(r) for _ in range(k)]
    once = ", ".join(words)
    again = ", ".join(_m(w) for w in words)
    return f"Words: {once}. Again: {again}."
