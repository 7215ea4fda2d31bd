"""What a simulated model says: sentences that fit any question, put together by the dice.

They claim nothing about the world, so that nobody takes them for knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable

from .dice import Dice

BEGINNING = 64
"""Characters of the prompt that an answer quotes at most."""

_OPENINGS = (
    'You asked: "{echo}".',
    'On "{echo}", here is what a simulated model has to say.',
    'About "{echo}": a short answer first, the reasons after it.',
    '"{echo}" - that is a good thing to ask a simulator.',
    'Thank you for asking "{echo}".',
)
_SENTENCES = (
    "The answer depends on a few things that are worth keeping apart.",
    "First comes what is known, then what follows from it, and last what is merely likely.",
    "In most cases the simple explanation is the right one, and the exceptions are easy to name.",
    "It helps to start from a small example and to check each step by hand.",
    "Two readings are possible; the second one is less obvious, but it fits better.",
    "What matters here is the order in which things happen, not how long each of them takes.",
    "A careful reader will notice that the question already contains half of the answer.",
    "There is a trade-off: what is gained in speed is usually paid for in clarity.",
    "Seen from a distance, the details cancel out and one main point remains.",
    "None of this is new, but it is easily forgotten when several causes act at once.",
    "If the numbers are small, an estimate will do; if they are large, it is better to measure.",
    "The usual advice still holds: change one thing at a time and write down what you see.",
    "A naïve approach works surprisingly well \u2013 until the edge cases arrive.",
    "Compare it with a café at noon: the queue is short, yet everybody waits ☕.",
    "Put differently: cause → effect, and rarely the other way round.",
    "That is why the same question may deserve a different answer tomorrow.",
    "One could go further, but the next step would need more context than was given.",
    "For practical purposes, the difference does not matter.",
    "So much for the general case; yours may well be a special one.",
    "Every claim above can be checked, and should be.",
)
_CLOSINGS = (
    "Ask again with more detail, and the answer will be longer.",
    "That is all, said {model}, simulated.",
    "In short: it depends, but not on much.",
    "This text was made by a simulator, the same for the same question.",
    "I hope that helps.",
)
_THOUGHTS = (
    'The user wants to know: "{echo}".',
    "Let me see what is being asked and what is not.",
    "There are several ways to answer; the direct one seems best.",
    "I should check whether a tool is needed here.",
    "The obvious answer might be wrong, so I look at it once more.",
    "Nothing speaks against it.",
    "A short answer with its reasons will do.",
    "I keep to what was asked and leave the rest out.",
)
_LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "Sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.",
    "Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris.",
    "Duis aute irure dolor in reprehenderit in voluptate velit esse.",
    "Excepteur sint occaecat cupidatat non proident.",
    "Sunt in culpa qui officia deserunt mollit anim id est laborum.",
    "Nemo enim ipsam voluptatem quia voluptas sit aspernatur.",
    "Neque porro quisquam est, qui dolorem ipsum quia dolor sit amet.",
    "Quis autem vel eum iure reprehenderit qui in ea voluptate.",
)


def beginning(text: str) -> str:
    """The first words of a text, on one line."""
    line = " ".join(text[: BEGINNING * 4].split())
    if len(line) <= BEGINNING:
        return line
    cut = line[:BEGINNING]
    return (cut.rpartition(" ")[0] or cut) + "..."


def answer(prompt: str, model: str, dice: Dice) -> list[str]:
    """An answer to a question, in sentences that joined make the text."""
    chosen = [dice.pick(_OPENINGS), *_some(_SENTENCES, 1 + dice.below(6), dice), dice.pick(_CLOSINGS)]
    echo = beginning(prompt).replace('"', "'") or "nothing"
    return _spaced(sentence.replace("{echo}", echo).replace("{model}", model) for sentence in chosen)


def thoughts(prompt: str, length: int, dice: Dice) -> list[str]:
    """What a reasoning model thinks before it answers: `length` sentences after the first."""
    first = _THOUGHTS[0].replace("{echo}", beginning(prompt).replace('"', "'"))
    return _spaced([first, *_some(_THOUGHTS[1:], length, dice)])


def about_results(results: list[tuple[str, str]], dice: Dice) -> list[str]:
    """An answer that uses what tools returned: pairs of tool name and result."""
    said = [f"The tool {name} returned: {beginning(result).rstrip('.') or 'nothing'}." for name, result in results]
    return _spaced([*said, *_some(_SENTENCES, 1, dice)])


def lorem(dice: Dice) -> list[str]:
    """Sentences that nobody takes for an answer."""
    return _spaced([_LOREM[0], *_some(_LOREM[1:], 2 + dice.below(6), dice)])


def _some(sentences: tuple[str, ...], count: int, dice: Dice) -> list[str]:
    """So many of the sentences, none twice while there are others."""
    first, stride = dice.below(len(sentences)), 1 + 2 * dice.below(2)
    return [sentences[(first + i * stride) % len(sentences)] for i in range(count)]


def _spaced(sentences: Iterable[str]) -> list[str]:
    return [f" {sentence}" if i else sentence for i, sentence in enumerate(sentences)]
