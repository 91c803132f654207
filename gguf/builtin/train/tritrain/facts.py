"""Facts: capitals both ways, colors, opposites, sounds, plurals, number words, days and months."""

from .chance import article, capital, pick
from .words import (BABIES, CAPITALS, COLORS, DAYS, MISC, MONTHS, OPPOSITES, ORDINALS, PLURALS, SMALL_NUMBERS, SOUNDS, TENS)


def in_words(n):
    """0-999 in words."""
    if n < 20:
        return SMALL_NUMBERS[n]
    if n < 100:
        return TENS[n // 10 - 2] + ("-" + SMALL_NUMBERS[n % 10] if n % 10 else "")
    return SMALL_NUMBERS[n // 100] + " hundred" + (" " + in_words(n % 100) if n % 100 else "")


def _capital(r):
    c, p = r.choice(CAPITALS)
    return pick(r, [
        (4, (f"What is the capital of {c}?", f"The capital of {c} is {p}.")),
        (1, (f"Which city is the capital of {c}?", f"{p} is the capital of {c}.")),
        (1, (f"Do you know the capital of {c}?", f"Yes, the capital of {c} is {p}.")),
        (1, (f"Name the capital of {c}.", f"The capital of {c} is {p}.")),
        (1, (f"Tell me the capital of {c}.", f"The capital of {c} is {p}.")),
        (1, (f"Capital of {c}?", f"{p}.")),
        (5, (f"{p} is the capital of which country?", f"{p} is the capital of {c}.")),
        (1.5, (f"Which country has the capital {p}?", f"{p} is the capital of {c}.")),
        (1, (f"In which country is {p}?", f"{p} is in {c}.")),
        (3, (None, f"The capital of {c} is {p}.")),
        (2.5, (None, f"{p} is the capital of {c}.")),
        (1, (None, f"{p} is a city in {c}. It is the capital of {c}.")),
    ])


def _color(r):
    a, b = r.choice(COLORS)
    return r.choice([(f"What color is {a}?", f"{capital(a)} is {b}."), (f"What is the color of {a}?", f"The color of {a} is {b}."),
                     (None, f"{capital(a)} is {b}."), (None, f"The color of {a} is {b}.")])


# Words whose opposite depends on which one is asked for.
_ONE_WAY = {"light", "small", "white", "right", "short", "afraid"}


def _opposite(r):
    a, b = r.choice(OPPOSITES)
    if b not in _ONE_WAY and r.random() < .4:
        a, b = b, a
    return r.choice([(f"What is the opposite of {a}?", f"The opposite of {a} is {b}.")] * 2 +
                    [(None, f"The opposite of {a} is {b}."), (f"Opposite of {a}?", f"{capital(b)}.")])


def _sound(r):
    a, b = r.choice(SOUNDS)
    a = article(a)
    answer = f"{capital(a)} says {b}."
    return r.choice([(f"What does {a} say?", answer), (f"What sound does {a} make?", answer), (None, answer),
                     (f"Which animal says {b}?", answer)])


def _baby(r):
    a, b = r.choice(BABIES)
    return r.choice([(f"What is a baby {a} called?", f"A baby {a} is called {article(b)}."), (None, f"A baby {a} is called {article(b)}.")])


def _plural(r):
    a, b = r.choice(PLURALS)
    return r.choice([(f"What is the plural of {a}?", f"The plural of {a} is {b}.")] * 2 + [(None, f"One {a}, two {b}.")])


def number_word(r):
    """A number as a word, or back."""
    n = r.randint(0, 19 if r.random() < .3 else 99)
    return r.choice([(f"How do you write {n} in words?", f"{n} in words is {in_words(n)}."), (f"Write {n} as a word.", f"{n} in words is {in_words(n)}."),
                     (f"Which number is {in_words(n)}?", f"{capital(in_words(n))} is {n}.")])


def _calendar(r):
    names, unit, whole = (DAYS, "day", "week") if r.random() < .5 else (MONTHS, "month", "year")
    i = r.randrange(len(names))
    x, after, before = names[i], names[(i + 1) % len(names)], names[i - 1]
    return r.choice([
        (f"What {unit} comes after {x}?", f"{after} comes after {x}."), (f"What comes after {x}?", f"{after} comes after {x}."),
        (f"Which {unit} comes before {x}?", f"{before} comes before {x}."), (f"What comes before {x}?", f"{before} comes before {x}."),
        (None, f"{after} comes after {x}."),
        (f"What is the {ORDINALS[i]} {unit} of the {whole}?", f"The {ORDINALS[i]} {unit} of the {whole} is {x}."),
    ])


_KINDS = [(60, _capital), (5, _color), (6, _opposite), (5, _sound), (3, _baby), (5, _plural), (5, _calendar), (7, lambda r: r.choice(MISC))]


def fact(r):
    """(question or None, answer)."""
    return pick(r, _KINDS)(r)


def asked(r):
    """A fact that comes with a question."""
    while True:
        f = fact(r)
        if f[0]:
            return f
