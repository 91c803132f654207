"""Sums, subtractions and counting."""

from .chance import held_out

MOST = 999  # the largest number that is added or subtracted


def is_held_out(op, a, b):
    return held_out("+", min(a, b), max(a, b)) if op == "+" else held_out("-", a, b)


def pair(r, op, test=False, most=None):
    """Two numbers, by default small ones more often than large ones."""
    while True:
        if most:
            a, b = r.randint(0, most), r.randint(0, most)
        else:
            x = r.random()
            m = 12 if x < .15 else 99 if x < .55 else MOST
            a, b = r.randint(0, m), r.randint(0, 99 if m == MOST and r.random() < .2 else m)
            if m == MOST and r.random() < .15:
                a, b = b, a
        if op == "-" and a < b:
            a, b = b, a
        if is_held_out(op, a, b) == test:
            return a, b


def result(a, op, b):
    return a + b if op == "+" else a - b


def sentence(a, op, b):
    return f"{a} {op} {b} = {result(a, op, b)}."


def asked(r):
    """(question, answer)."""
    op = "+" if r.random() < .52 else "-"
    a, b = pair(r, op)
    expression, word = f"{a} {op} {b}", "plus" if op == "+" else "minus"
    x = r.random()
    if x < .52:
        question = f"What is {expression}?"
    elif x < .58:
        question = f"How much is {expression}?"
    elif x < .66:
        question = f"{expression} ="
    elif x < .70:
        question = f"{expression} = ?"
    elif x < .76:
        question = f"Calculate {expression}."
    elif x < .90:
        question = f"What is {a} {word} {b}?"
    else:
        question = f"Add {a} and {b}." if op == "+" else f"Subtract {b} from {a}."
    return question, sentence(a, op, b)


def _one(r):
    op = "+" if r.random() < .52 else "-"
    a, b = pair(r, op)
    return sentence(a, op, b)


def single(r):
    """One sum by itself: a plain "5 + 7 =" ends with its result."""
    return _one(r)


def many(r):
    """A list, which says at its beginning that it is one."""
    return "Sums:\n" + "\n".join(_one(r) for _ in range(r.randint(3, 14)))


def counting(r):
    """(question, answer)."""
    x, a, n = r.random(), r.randint(0, 15 if r.random() < .3 else 95), r.randint(2, 10)
    if x < .50:
        b = min(a + n, 99)
        return f"Count from {a} to {b}.", ", ".join(map(str, range(a, b + 1))) + "."
    if x < .65:
        b = max(a - n, 0)
        return f"Count down from {a} to {b}.", ", ".join(map(str, range(a, b - 1, -1))) + "."
    if x < .77:
        return f"What number comes after {a}?", f"{a + 1} comes after {a}."
    if x < .88:
        return f"What number comes before {a + 1}?", f"{a} comes before {a + 1}."
    b = r.choice([n for n in range(100) if n != a])
    return f"Which is bigger, {a} or {b}?", f"{max(a, b)} is bigger than {min(a, b)}."
