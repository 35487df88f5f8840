"""Everyday stories in plain English; the only part of the base corpus that says wait and hmm."""

from random import Random

from demo.problems import NAMES

PLACES = ("the park", "the kitchen", "the market", "the station", "the garden", "the library", "the school", "the shop")
THINGS = ("a red hat", "an old book", "a small box", "a blue bag", "the key", "a letter", "a lamp", "the map", "a cake")
WEATHER = (
    "It was raining.",
    "The sun was shining.",
    "It was cold outside.",
    "It was late in the day.",
    "It was early.",
)
FRIENDS = ("a friend", "the teacher", "a neighbour", "the baker", "the driver", "a doctor")
FEELINGS = ("tired", "happy", "hungry", "worried", "surprised", "busy", "calm")
LINES = (
    "Wait for me",
    "Wait, I forgot {thing}",
    "Wait, where is {thing}",
    "Wait a moment, the door is still open",
    "Hmm, I do not know",
    "Hmm, that is a good question",
    "Hmm, maybe we should ask {friend}",
    "Wait, I think this is the wrong way",
    "Oh wait, it is in my bag",
    "Come with me",
    "I found {thing}",
    "Look at {thing}",
    "We should go home now",
    "Thank you for {thing}",
    "It is not far from here",
    "No, that is not mine",
    "Maybe it will be better in the evening",
    "Let me help you with that",
)
EVENTS = (
    "{name} walked to {place} with {friend}.",
    "{name} looked for {thing} but could not find it.",
    "{name} wanted to buy {thing} in {place}.",
    "They had to wait for the bus.",
    "{name} could not wait to see {place}.",
    "{name} sat down and read for a while.",
    "{friend} gave {name} {thing}.",
    "{name} was {feeling} and went home.",
    "The way to {place} was long.",
    "After the wait, the train came at last.",
    "{name} put {thing} on the table.",
    "There were many people in {place}.",
    "{name} made tea and opened the window.",
    "Nobody knew where {thing} was.",
    "{name} asked {friend} about {place}.",
)
ENDINGS = (
    "In the end everyone was {feeling}.",
    "That evening {name} was {feeling}.",
    "So they went back to {place}.",
    "It was a good day after all.",
)


def write_story(rng: Random) -> str:
    """A short story: a place, a few events, some dialogue, an end."""
    name, other = rng.sample(list(NAMES), 2)
    sentences = [rng.choice(WEATHER), f"{name} and {other} were in {rng.choice(PLACES)}."]
    for _ in range(rng.randint(4, 9)):
        speaker = rng.choice((name, other))
        if rng.random() < 0.45:
            verb = rng.choice(("said", "asked", "called", "answered"))
            sentences.append(f'"{_fill(rng.choice(LINES), rng, speaker)}," {verb} {speaker}.')
        else:
            sentences.append(_fill(rng.choice(EVENTS), rng, speaker))
    sentences.append(_fill(rng.choice(ENDINGS), rng, name))
    return " ".join(sentences)


def _fill(template: str, rng: Random, name: str) -> str:
    text = template.format(
        name=name,
        place=rng.choice(PLACES),
        thing=rng.choice(THINGS),
        friend=rng.choice(FRIENDS),
        feeling=rng.choice(FEELINGS),
    )
    return text[0].upper() + text[1:]
