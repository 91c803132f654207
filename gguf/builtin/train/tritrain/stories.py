"""Stories: a plot of the grammar with a hero, a thing, a place and an animal."""

import re

from . import invent
from .chance import article, capital, held_out, pick, stable
from .plots import ENDINGS, INTRODUCTIONS, PLOTS, SUDDEN
from .words import (ADJECTIVES, ANIMAL_ADJECTIVES, ANIMALS, BOYS, CHILD_ADJECTIVES, GIRLS, PLACES, RARE_BOYS, RARE_GIRLS,
                    RARE_THINGS, THINGS)

# Words between these marks are to be copied from the request; the packer gives them more weight and takes the marks out.
MARK, UNMARK = "\x01", "\x02"

_PLOT_NAMES = list(PLOTS)
_SHE, _HE = ("she", "her", "her", "girl"), ("he", "him", "his", "boy")
_ARTICLE = re.compile(rf"\b([Aa]) (?={MARK}?[aeiou])")


def hero(r, known=False):
    """(name, pronouns, whether it is common)."""
    x = 0 if known else r.random()
    she = r.random() < .5
    if x < .40:
        return r.choice(GIRLS if she else BOYS), _SHE if she else _HE, True
    if x < .52:
        return r.choice(RARE_GIRLS if she else RARE_BOYS), _SHE if she else _HE, False
    return invent.name(r), _SHE if she else _HE, False


def thing(r, known=False):
    """(noun, whether it is common)."""
    x = 0 if known else r.random()
    if x < .40:
        return r.choice(THINGS), True
    if x < .60:
        return r.choice(RARE_THINGS), False
    return invent.thing(r), False


def tell(r, who, what, adjective, place, animal, sudden=False):
    """The text of a story; what must be copied exactly is between marks.

    Plot and beginning go with what was asked for more often than not, so that even the likeliest words make different stories
    of different requests.
    """
    (name, (s, o, h, child), common), (noun, noun_common) = who, what
    mark = lambda word, plain: word if plain else MARK + word + UNMARK
    name_, noun_ = mark(name, common), mark(noun, noun_common)
    preposition, where = place
    gj = r.choice(CHILD_ADJECTIVES)
    beast = article((r.choice(ANIMAL_ADJECTIVES) + " " if r.random() < .7 else "") + animal)
    fill = {
        "N": name_, "s": s, "S": capital(s), "O": o, "h": h, "H": capital(h), "g": child, "gj": gj, "a": article(gj),
        "T": (adjective + " " if adjective else "") + noun_, "U": noun_, "P": preposition + " " + where,
        "P!": capital(preposition) + " " + where, "Q": where, "A": animal, "B": beast, "B!": capital(beast),
    }
    plot = _PLOT_NAMES[stable((adjective or noun) + where, len(_PLOT_NAMES))] if r.random() < .6 else r.choice(_PLOT_NAMES)
    first = INTRODUCTIONS[stable(name[0] + child, len(INTRODUCTIONS))] if r.random() < .6 else r.choice(INTRODUCTIONS)
    sentences = [r.choice(SUDDEN) if sudden and r.random() < .5 else first]
    for forms in PLOTS[plot]:
        sentence = r.choice(forms)
        if sentence[0] != "?":
            sentences.append(sentence)
        elif r.random() < .55:
            sentences.append(sentence[1:])
    sentences.append(r.choice(ENDINGS))
    text = " ".join(x for x in sentences if x)
    text = re.sub(r"\{([^}]*)\}", lambda m: fill[m[1]], text)
    return _ARTICLE.sub(r"\1n ", text)


_ASK = [(2, "Tell me a story about"), (1, "Tell me a short story about"), (1, "Write a story about"), (.5, "Write a short story about"),
        (1, "Can you tell me a story about"), (1, "Please tell me a story about"), (1, "I want a story about")]
_ANY = ["Tell me a story.", "Please tell me a story.", "Can you tell me a story?", "A story, please!", "Tell me another story."]


def request(r, known=False, test=False):
    """(question, story, what was asked for). test: only combinations that the corpus does not have."""
    while True:
        who, what, place = hero(r, known), thing(r, known), r.choice(PLACES)
        if held_out(who[0], what[0], place[1]) == test:
            break
    adjective = r.choice(ADJECTIVES) if r.random() < .75 else ""
    animal = r.choice(ANIMALS)
    name, noun = who[0], article((adjective + " " if adjective else "") + what[0])
    ask = pick(r, _ASK)
    end = "?" if ask.startswith("Can") else "."
    asked = {"name": name, "thing": what[0]}
    x = r.random()
    if x < .34:
        question = f"{ask} {name} and {noun}{end}"
    elif x < .64:
        question = f"{ask} {name} and {noun} {' '.join(place)}{end}"
        asked["place"] = place[1]
    elif x < .75:
        question = f"{ask} {name}, {noun} and {article(animal)}{end}"
        asked["animal"] = animal
    elif x < .83:
        question = f"{ask} a {who[1][3]} named {name} and {noun}{end}"
    elif x < .88:
        question, asked = f"{ask} {name}{end}", {"name": name}
    elif x < .92:
        question, asked = f"{ask} {article(animal)}{end}", {"animal": animal}
    elif x < .96:
        question, asked = f"{ask} {noun}{end}", {"thing": what[0]}
    else:
        question, asked = r.choice(_ANY), {}
    if "name" not in asked:
        who = (*who[:2], True)   # nothing to copy
    if "thing" not in asked:
        what = (what[0], True)
    return question, tell(r, who, what, adjective, place, animal), asked


def plain(r):
    """A story by itself."""
    while True:
        who, what, place = hero(r), thing(r, known=r.random() < .5), r.choice(PLACES)
        if not held_out(who[0], what[0], place[1]):
            return tell(r, (*who[:2], True), (what[0], True), r.choice(ADJECTIVES), place, r.choice(ANIMALS), sudden=True)
