"""The evaluation set: questions with known answers, as data that trainer and engine share.

A group has a name, a kind (chat or plain), the most tokens of an answer, the share that must be right (target) and items. An
item is a list of messages m and either the exact answer a, or words w that must all be in it. In every case the answer must
end by itself.
"""

import json
import random

from . import facts, stories, sums, talk
from .chance import article, capital
from .words import (ADJECTIVES, BABIES, CAPITALS, COLORS, DAYS, MISC, MONTHS, OPPOSITES, PLURALS, SOUNDS, UNSEEN_NAMES, UNSEEN_THINGS)


def _group(name, target, most, items, kind="chat"):
    return dict(name=name, kind=kind, target=target, tokens=most, items=items)


def _exact(question, answer):
    return dict(m=[question], a=answer)


def _pairs(r, op, n, most):
    """Different pairs that the corpus does not have; for large limits at least one of the numbers is large."""
    seen = {}
    while len(seen) < n:
        a, b = sums.pair(r, op, test=True, most=most)
        if most <= 99 or max(a, b) > 99:
            seen[(a, b)] = None
    return list(seen)


def _arithmetic(r):
    ask = lambda form, op, pairs: [_exact(form.format(a=a, b=b), sums.sentence(a, op, b)) for a, b in pairs]
    small = _pairs(r, "+", 500, 99)
    yield _group("additions to 99, held out", .99, 32, ask("What is {a} + {b}?", "+", small))
    yield _group("subtractions to 99, held out", .99, 32, ask("What is {a} - {b}?", "-", _pairs(r, "-", 300, 99)))
    yield _group("additions, other wording", .99, 32, ask("What is {a} plus {b}?", "+", small[:100]))
    yield _group("additions, plain", .99, 16, [_exact(f"{a} + {b} =", f" {a + b}.") for a, b in small[100:200]], "plain")
    yield _group("one-digit sums", .99, 32, ask("What is {a} + {b}?", "+", [(a, b) for a in range(10) for b in range(10)]))
    yield _group("additions to 999, held out", .95, 32, ask("What is {a} + {b}?", "+", _pairs(r, "+", 300, 999)))
    yield _group("subtractions to 999, held out", .95, 32, ask("What is {a} - {b}?", "-", _pairs(r, "-", 300, 999)))


def _knowledge(r):
    c = CAPITALS
    yield _group("capitals, asked", .99, 48, [_exact(f"What is the capital of {x}?", f"The capital of {x} is {y}.") for x, y in c])
    yield _group("capitals, continued", .99, 24, [_exact(f"The capital of {x} is", f" {y}.") for x, y in c], "plain")
    yield _group("capitals, reversed", .95, 48, [_exact(f"{y} is the capital of which country?", f"{y} is the capital of {x}.") for x, y in c])
    other = [(f"What is the plural of {a}?", f"The plural of {a} is {b}.") for a, b in PLURALS]
    other += [(f"What does {article(a)} say?", f"{capital(article(a))} says {b}.") for a, b in SOUNDS]
    other += [(f"What color is {a}?", f"{capital(a)} is {b}.") for a, b in COLORS]
    other += [(f"What is a baby {a} called?", f"A baby {a} is called {article(b)}.") for a, b in BABIES]
    other += [(f"What is the opposite of {a}?", f"The opposite of {a} is {b}.") for a, b in OPPOSITES]
    for names, unit in ((DAYS, "day"), (MONTHS, "month")):
        other += [(f"What {unit} comes after {a}?", f"{names[(i + 1) % len(names)]} comes after {a}.") for i, a in enumerate(names)]
    yield _group("other facts", .97, 64, [_exact(*x) for x in other + MISC])
    yield _group("number words", .97, 32, [_exact(f"How do you write {n} in words?", f"{n} in words is {facts.in_words(n)}.") for n in range(0, 100, 2)])
    counts = [(a, a + n) for a in range(0, 90, 9) for n in (3, 6, 9)]
    yield _group("counting", .97, 64, [_exact(f"Count from {a} to {b}.", ", ".join(map(str, range(a, b + 1))) + ".") for a, b in counts])


def _telling(r):
    items = []
    while len(items) < 200:
        question, _, asked = stories.request(r, known=True, test=True)
        if "name" in asked and "thing" in asked:
            items.append(dict(m=[question], w=list(asked.values())))
    yield _group("stories, held-out combinations", .98, 256, items)
    items = []
    for _ in range(100):
        name, thing = r.choice(UNSEEN_NAMES), r.choice(UNSEEN_THINGS)
        items.append(dict(m=[f"Tell me a story about {name} and {article(r.choice(ADJECTIVES) + ' ' + thing)}."], w=[name, thing]))
    yield _group("stories, names and things never seen", .80, 256, items)
    items = []
    for i in range(50):
        question, story, _ = stories.request(r, known=True, test=True)
        x, y = r.choice(CAPITALS)
        items.append(dict(m=[question, story, f"What is the capital of {x}?"], a=f"The capital of {x} is {y}."))
    yield _group("capital after a story", .98, 48, items)


def _limits(r):
    items = []
    for _ in range(70):
        items.append(dict(m=[talk.refusal(r)[0]], w=["do not know"]))
    for name in r.sample(UNSEEN_NAMES, 15):
        items.append(dict(m=[r.choice([f"Who is {name}?", f"When was {name} born?", f"Where does {name} live?"])], w=["do not know"]))
    for thing in r.sample(UNSEEN_THINGS, 15):
        items.append(dict(m=[r.choice([f"What is {article(thing)}?", f"How does {article(thing)} work?", f"Who invented the {thing}?"])], w=["do not know"]))
    yield _group("questions without an answer", .95, 48, items)


def build(seed=99):
    """The whole set."""
    r = random.Random(seed)
    return dict(version=1, seed=seed, groups=[g for make in (_arithmetic, _knowledge, _telling, _limits) for g in make(r)])


def save(path, data):
    """One item a line, so that differences can be read."""
    with open(path, "w") as f:
        f.write('{"version": %d, "seed": %d, "groups": [\n' % (data["version"], data["seed"]))
        for i, g in enumerate(data["groups"]):
            head = {k: v for k, v in g.items() if k != "items"}
            f.write(json.dumps(head)[:-1] + ', "items": [\n')
            f.write(",\n".join(json.dumps(x, ensure_ascii=False) for x in g["items"]))
            f.write("\n]}" + ("," if i < len(data["groups"]) - 1 else "") + "\n")
        f.write("]}\n")
