"""Folding text for a frame, and breaking it as it is written."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from multi_llm_wrapper.cli.wrap import Flow, Wrapped, clean, one_line

TEXTS = st.text(st.sampled_from("abc  \n\t`é漢字A.-\x1b\r") | st.characters(codec="utf-8"), max_size=200)
CUTS = st.lists(st.integers(0, 200), max_size=8)


def cut(text: str, places: list[int]) -> list[str]:
    ends = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(ends)]


def folded(pieces: list[str], width: int) -> list[str]:
    wrapped = Wrapped(width)
    for piece in pieces:
        wrapped.add(piece)
    return wrapped.last()


def flowed(pieces: list[str], columns: int) -> str:
    flow = Flow(lambda: columns)
    return "".join([*(flow.add(piece) for piece in pieces), flow.end()])


@given(TEXTS, CUTS, st.integers(1, 30))
def test_lines_do_not_depend_on_how_the_text_was_cut(text: str, places: list[int], width: int) -> None:
    """A stream's pieces fold to the lines of the whole text."""
    assert folded([text], width) == folded(cut(text, places), width)


@given(TEXTS, st.integers(2, 30))
def test_no_line_is_wider_than_the_panel_and_nothing_is_lost(text: str, width: int) -> None:
    """Lines fit, and joined they are the text but for blanks."""
    lines = folded([text], width)

    assert [] == [line for line in lines if cell_len(line) > width and len(line) > 1 and line.isascii()]
    assert "".join(clean(text).split()) == "".join("".join(lines).split())


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("the quick brown fox", ["the quick", "brown fox"]),
        ("the  quick", ["the  quick"]),
        ("exactly-10 more", ["exactly-10", "more"]),
        ("a word-longer-than-a-line", ["a", "word-longe", "r-than-a-l", "ine"]),
        ("one\n\ntwo\n", ["one", "", "two"]),
        ("    indented", ["    indent", "ed"]),
        ("漢字漢字漢字", ["漢字漢字漢", "字"]),
        ("", []),
    ],
)
def test_folds_between_words(text: str, lines: list[str]) -> None:
    """A line ends between words; a word longer than a line is cut."""
    assert lines == folded([text], 10)


def test_a_character_wider_than_the_panel_has_a_line_to_itself() -> None:
    """There is nowhere else for it."""
    assert ["漢", "字"] == folded(["漢字"], 1)


@given(TEXTS, st.integers(1, 30), st.integers(0, 20))
def test_the_last_lines_are_the_end_of_all_lines(text: str, width: int, count: int) -> None:
    """What a low panel shows is the end of what a high one shows."""
    wrapped = Wrapped(width)
    wrapped.add(text)
    everything = wrapped.last()

    assert everything[len(everything) - min(count, len(everything)) :] == wrapped.last(count)
    assert len(everything) == len(wrapped)


def test_a_long_answer_folds_in_linear_time() -> None:
    """Ten thousand pieces without a line end leave no more than a line to look at again."""
    wrapped = Wrapped(40)
    for _ in range(10_000):
        wrapped.add("word ")

    assert 1250 == len(wrapped)
    assert len(wrapped._open) <= 41


@given(TEXTS, CUTS, st.integers(1, 100))
def test_what_is_written_does_not_depend_on_how_the_text_was_cut(text: str, places: list[int], columns: int) -> None:
    """A stream's pieces come out as the whole text would."""
    assert flowed([text], columns) == flowed(cut(text, places), columns)


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=10), max_size=60), st.integers(10, 40))
def test_written_lines_end_between_words(words: list[str], columns: int) -> None:
    """No line is wider than the terminal, and the words are whole."""
    lines = flowed([" ".join(words)], columns).splitlines()

    assert [] == [line for line in lines if len(line) > columns]
    assert words == [word for line in lines for word in line.split()]


def test_code_is_written_as_it_is() -> None:
    """Between fences no line end is added, whatever the width; after them, again."""
    code = "```python\nprint('a long line of code, longer than the terminal is')\n```\n"

    assert code + "one two\nthree\n" == flowed([code, "one two three"], 8)


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        (["Hel", "lo"], ["", "", "Hello\n"]),
        (["Hello", " world"], ["", "Hello", " world\n"]),
        (["done\n"], ["done\n", ""]),
        (["x" * 30, "y"], ["x" * 30, "y", "\n"]),
        ([""], ["", ""]),
    ],
)
def test_only_an_unfinished_word_is_held_back(pieces: list[str], written: list[str]) -> None:
    """Text is on the screen as soon as it is known where it belongs; the end ends the line."""
    flow = Flow(lambda: 80)

    assert written == [*(flow.add(piece) for piece in pieces), flow.end()]


def test_a_terminal_gets_no_control_characters() -> None:
    """Neither escape sequences nor their eight-bit form, bells, or carriage returns pass."""
    assert "red[31m\n\ttitle" == clean("red\x1b[31m\r\n\t\x9b\x07title\x00\x7f")
    assert "two lines" == one_line(" two\n lines\x1b ")
