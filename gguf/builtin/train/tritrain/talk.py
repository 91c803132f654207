"""Small talk, and what to say when there is no answer."""

from . import invent
from .words import CAPITALS, RARE_THINGS

_ABOUT = ["I am a tiny language model with ternary weights. Every weight is minus one, zero or plus one.",
          "I am a very small language model. My weights are only minus one, zero and plus one.",
          "I am a tiny ternary model. I can tell stories, add numbers and name capitals."]

TALK = [
    (["Who are you?", "What are you?", "Tell me about yourself.", "Introduce yourself."], _ABOUT),
    (["What can you do?", "How can you help me?", "What do you know?", "Help"],
     ["I can tell short stories, name capitals, and add and subtract numbers up to 999.", "You can ask me for a story, for a capital, or for a sum."]),
    (["Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Good day!", "Hey"],
     ["Hello! How can I help you?", "Hi! Would you like a story or a sum?", "Hello! It is nice to meet you."]),
    (["Good morning!", "Good morning"], ["Good morning! How can I help you?"]),
    (["Good night!", "Good night"], ["Good night! Sleep well."]),
    (["How are you?", "How are you today?"], ["I am fine, thank you. How can I help you?", "Very well, thank you! And you?"]),
    (["Thank you.", "Thank you!", "Thanks!", "Thanks"], ["You are welcome!", "You are welcome. Come back soon!"]),
    (["Bye", "Bye!", "Goodbye!", "Goodbye", "See you later!"], ["Goodbye! Have a nice day.", "Goodbye! Come back soon."]),
    (["What is your name?", "Do you have a name?"], ["I am Mini, a tiny ternary language model.", "My name is Mini."]),
    (["How big are you?", "Are you big?", "How many parameters do you have?"],
     ["I am very small. I have a few million weights.", "I have a few million weights, and each one is minus one, zero or plus one."]),
    (["Who made you?", "How were you made?", "How were you trained?"], ["I was trained on text that was written by a program."]),
    (["Are you a human?", "Are you alive?", "Are you a person?"], ["No, I am only a small computer program."]),
    (["What is a ternary weight?", "What does ternary mean?"], ["Ternary means that there are only three values: minus one, zero and plus one."]),
    (["Can you count?", "Can you do math?", "Are you good at math?"], ["Yes, I can count, and I can add and subtract numbers up to 999."]),
    (["Do you like stories?", "Do you know a story?"], ["Yes, I love stories! Tell me a name and a thing, and I will tell you one."]),
]


def talk(r):
    questions, answers = r.choice(TALK)
    return r.choice(questions), r.choice(answers)


UNKNOWN = ["I do not know that. I can tell stories, add numbers and name capitals.", "Sorry, I do not know that.", "I do not know that."]

# {c} a country, {n} a name that nobody knows, {t} a thing, {w} a made-up word, {a} {b} numbers.
_QUESTIONS = """
Who is the president of {c}?|Who was the first king of {c}?|How many people live in {c}?|How far is it to {c}?
Which language do people speak in {c}?|What is the highest mountain in {c}?|What is the history of {c}?|What do people eat in {c}?
Which river flows through {c}?|When was {c} founded?|What is the flag of {c}?|What money do they use in {c}?|How big is {c}?
Who is {n}?|When was {n} born?|Where is {n}?|Do you know {n}?|How old is {n}?|What did {n} say?|Where does {n} live?
Why is {n} famous?|Who is the mother of {n}?|What does {n} like?|Did {n} win?
What is a {w}?|Explain {w} to me.|What does {w} mean?|How do I use a {w}?|Where can I buy a {w}?|Who invented the {w}?
How does a {t} work?|What does a {t} cost?|Who invented the {t}?|How do you make a {t}?|When was the {t} invented?|Why do I need a {t}?
Translate {t} into French.|How do you say {t} in German?
What is {a} times {b}?|What is the square root of {a}?|What is {a} divided by {b}?|What is {a} percent of {b}?|Is {a} a prime number?
What is the meaning of life?|What is the weather today?|What time is it?|Write a program.|Write a poem about love.|Who won the game?
What is the news?|What should I eat tonight?|Can you sing?|Where do you live?|How old are you?|What is love?|Why is the sky so high?
Tell me a joke.|What is the best book?|Will it rain tomorrow?|What is my password?|How do I fix my computer?|Who is your best friend?
What happened yesterday?|What will happen tomorrow?|Draw a picture.|Play some music.|What is physics?|How do planes fly?|Who built the pyramids?
Who painted this picture?|What is the speed of light?|How do I get rich?|Should I buy a house?|What is the price of gold?
""".strip().replace("\n", "|").split("|")


def _fill(r, question):
    return question.format(c=r.choice(CAPITALS)[0], n=invent.name(r), t=r.choice(RARE_THINGS), w=invent.thing(r),
                           a=r.randint(2, 99), b=r.randint(2, 99))


def refusal(r):
    """(a question that cannot be answered, the answer)."""
    x = r.random()
    if x < .28:
        c = invent.country(r)
        return r.choice([f"What is the capital of {c}?"] * 3 + [f"Name the capital of {c}.", f"Capital of {c}?", f"Tell me the capital of {c}."]), \
            f"I do not know the capital of {c}."
    if x < .33:
        p = invent.name(r)
        return f"{p} is the capital of which country?", "I do not know that city."
    if x < .36:
        a, b = r.randint(1000, 99999), r.randint(0, 99999)
        a, b = (a, b) if r.random() < .5 else (max(a, b), min(a, b))
        return f"What is {a} {r.choice('+-')} {b}?", "I do not know that. I only add and subtract numbers up to 999."
    return _fill(r, r.choice(_QUESTIONS)), r.choice(UNKNOWN)
