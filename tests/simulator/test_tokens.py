"""The tokenizer: nothing is lost, and counting is splitting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.simulator import tokens
from multi_llm_wrapper.simulator.dice import Dice


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    """For any text, and none of them is empty."""
    assert text == "".join(tokens.split(text))
    assert all(tokens.split(text))


@given(st.text())
def test_counting_is_splitting(text: str) -> None:
    """`count` gives the number of pieces."""
    assert len(tokens.split(text)) == tokens.count(text)


def test_long_texts_are_counted_the_same() -> None:
    """Beyond what is remembered, and beyond what is split at once."""
    for text in ("word " * 200, "ab, " * 300_000):
        assert len(tokens.split(text)) == tokens.count(text)


@given(st.lists(st.text(alphabet="ab c.,é☕\n"), max_size=5))
def test_sentences_are_split_like_their_text(sentences: list[str]) -> None:
    """No token crosses the space between two sentences, as long as none ends in space."""
    spaced = [f" {s.strip()}" if i else s.strip() for i, s in enumerate(sentences)]
    spaced = [sentence for sentence in spaced if sentence.strip()]

    assert tokens.split("".join(spaced)) == tokens.split_sentences(spaced)


def test_a_token_has_about_four_characters() -> None:
    """As with real tokenizers, for English."""
    text = "The quick brown fox jumps over the lazy dog, and nobody is surprised by that any more."

    assert 3 < len(text) / tokens.count(text) < 6


def test_dice_repeat_themselves() -> None:
    """The same parts give the same throws, others do not."""
    throws = [[Dice(*parts).below(1000) for _ in range(3)] for parts in ((1, "a"), (1, "a"), (1, "b"), (2, "a"))]

    assert throws[0] == throws[1]
    assert len({tuple(throw) for throw in throws}) == 3
    assert Dice("x").digest != Dice("y").digest


@given(st.integers(), st.integers(1, 1000))
def test_throws_stay_below_their_limit(seed: int, limit: int) -> None:
    """From 0 up to, not including, the limit."""
    dice = Dice(seed)

    assert all(0 <= dice.below(limit) < limit for _ in range(20))


def test_all_faces_come_up() -> None:
    """Throws are spread over the whole range."""
    dice = Dice("spread")

    assert set(range(6)) == {dice.below(6) for _ in range(200)}
    assert sorted("abcdef") == sorted(dice.order("abcdef"))
