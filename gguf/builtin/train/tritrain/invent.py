"""Words that nobody has seen: what teaches the model to copy instead of to remember."""

from .words import (BOYS, GIRLS, RARE_BOYS, RARE_GIRLS, RARE_THINGS, THINGS, UNSEEN_NAMES, UNSEEN_THINGS, CAPITALS)

_NAMES = GIRLS + BOYS + RARE_GIRLS + RARE_BOYS
_THINGS = THINGS + RARE_THINGS
_TAKEN = {w.lower() for w in _NAMES + _THINGS + UNSEEN_NAMES + UNSEEN_THINGS}
_COUNTRIES = {c for c, _ in CAPITALS}

_VOWELS = list("aeiou") * 3 + "ee oo ai ie ou ea au y io".split()
_ONSETS = list("bcdfghjklmnprstvwz") * 2 + "bl br ch cl cr dr fl fr gl gr kl kn pl pr qu sc sh sk sl sm sn sp st sw th tr tw wh x y".split()
_CODAS = list("bdgklmnprstxz") + "ck ff ft ld lk ll lm lp lt mp nd ng nk nt pp rd rk rl rm rn rp rt sh sk sp ss st tch th tt zz".split()
_NAME_ENDS = "a an as el en er ia ie in is la lin lo na nor o on or ra ric ris son ta us y".split()
_THING_ENDS = "er o in et le el y ing ock ump ette ster ling scope graph phone board pot box wheel stick fly".split()
_PARTS = """
    rain snow sun moon star wind fire water sand stone wood leaf tree bird fish cat horse cow bee bear foot hand head eye back
    wheel boat ship car road door bed chair pot pan cup box bag book pen card ball top cap coat shoe sock ring clock bell drum
    horn light lamp fan brush rope string net hook pin cake bread butter milk honey pie jam berry nut apple
    tele micro auto photo aero hydro mono thermo super mini sky sea back side over under pocket paper finger window garden
""".split()


def _syllables(r, ends):
    word = ""
    for _ in range(1 if r.random() < .55 else 2):
        word += r.choice(_ONSETS if word or r.random() < .85 else [""]) + r.choice(_VOWELS)
        if r.random() < .35:
            word += r.choice(_CODAS)
    end = r.choice(ends)
    return word + (r.choice(_CODAS) if word[-1] in "aeiouy" and end[0] in "aeiouy" else "") + end


def _letters(r):
    n, word, vowel = r.randint(3, 8), "", r.random() < .3
    while len(word) < n:
        word += r.choice("aeiouy" if vowel else "bcdfghjklmnpqrstvwxz")
        vowel = not vowel if r.random() < .8 else vowel
    return word


def _mutated(r, words):
    word = list(r.choice(words).lower())
    for _ in range(r.randint(1, 2)):
        i, letter = r.randrange(len(word)), r.choice("abcdefghijklmnopqrstuvwxyz")
        x = r.random()
        if x < .6:
            word[i] = letter
        elif x < .8:
            word.insert(i, letter)
        elif len(word) > 3:
            del word[i]
    return "".join(word)


def _grafted(r, words):
    a, b = r.choice(words).lower(), r.choice(words).lower()
    return a[:r.randint(1, len(a) - 1)] + b[r.randint(1, max(1, len(b) - 2)):]


def _fresh(r, make):
    while True:
        word = make()
        if 3 <= len(word) <= 12 and word not in _TAKEN and word.isalpha():
            return word


def name(r):
    """A made-up name."""
    def make():
        x = r.random()
        return (_syllables(r, _NAME_ENDS) if x < .35 else _letters(r) if x < .55 else
                _mutated(r, _NAMES) if x < .75 else _grafted(r, _NAMES))
    return _fresh(r, make).capitalize()


def thing(r):
    """A made-up noun."""
    def make():
        x = r.random()
        return (_syllables(r, _THING_ENDS) if x < .25 else _letters(r) if x < .4 else _mutated(r, _THINGS) if x < .55 else
                _grafted(r, _THINGS) if x < .75 else r.choice(_PARTS) + r.choice(_PARTS))
    return _fresh(r, make)


def country(r):
    """A country that does not exist. Endings that mislead about real ones (Denmark) are left out."""
    while True:
        word = name(r) + r.choice("ia land stan ora istan onia".split()) if r.random() < .7 else name(r)
        if word not in _COUNTRIES:
            return word
