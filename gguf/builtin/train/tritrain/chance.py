"""Small helpers around chance and language."""

import hashlib


def held_out(*key, percent=10):
    """Whether this combination is kept from the corpus: decided by a hash, so that all sides agree."""
    digest = hashlib.md5("|".join(map(str, key)).encode()).hexdigest()
    return int(digest[:8], 16) % 100 < percent


def stable(text, n):
    """A number below n that belongs to the text."""
    return int(hashlib.md5(text.encode()).hexdigest()[:8], 16) % n


def article(noun):
    """'a fox', 'an owl'."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def capital(text):
    """The text with its first letter large."""
    return text[0].upper() + text[1:]


def pick(r, weighted):
    """One of [(weight, value), ...]."""
    x = r.random() * sum(w for w, _ in weighted)
    for w, value in weighted:
        x -= w
        if x < 0:
            return value
    return weighted[-1][1]
