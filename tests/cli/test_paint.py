"""The frame at the bottom of the terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.cli.paint import Line, Painter
from tests.cli.screen import Screen

COLUMNS, ROWS = 20, 8
LINES = st.text("abc ", max_size=COLUMNS - 1).map(lambda text: Line(text, len(text)))
FRAMES = st.lists(st.lists(LINES, max_size=ROWS - 1), max_size=8)


def painter_on(screen: Screen) -> Painter:
    return Painter(lambda text: screen.feed(text.replace("\r\n", "\n").replace("\n", "\r\n")))


def shown(lines: list[Line]) -> list[str]:
    return [line.text.rstrip() for line in lines]


@given(FRAMES, st.integers(0, ROWS + 3))
def test_the_screen_shows_the_last_frame_under_what_was_there(frames: list[list[Line]], before: int) -> None:
    """Whatever was painted, the text above stays and the newest frame stands under it, the cursor below."""
    screen = Screen(COLUMNS, ROWS)
    screen.feed("above\r\n" * before)
    painter = painter_on(screen)
    for frame in frames:
        painter.paint(frame, COLUMNS)
        expected = [*["above"] * before, *shown(frame)]
        everything = [*screen.history, *screen.lines]

        assert expected == everything[: len(expected)]
        assert [] == [line for line in everything[len(expected) :] if line]
        assert (len(expected), 0) == (len(screen.history) + screen.row, screen.column)


@given(FRAMES, st.lists(LINES, max_size=3 * ROWS))
def test_the_final_frame_stays_whole(frames: list[list[Line]], final: list[Line]) -> None:
    """A final frame higher than the terminal is there from its first line to its last, once."""
    screen = Screen(COLUMNS, ROWS)
    painter = painter_on(screen)
    for frame in frames:
        painter.paint(frame, COLUMNS)
    painter.finish(final, COLUMNS)

    highest = max([len(frame) for frame in frames], default=0)
    everything = [*screen.history, *screen.lines]
    assert shown(final) == everything[: len(final)]
    assert [] == [line for line in everything[len(final) :] if line]
    assert highest < ROWS


def test_only_changed_lines_are_written() -> None:
    """A frame like the one before costs nothing, one new line costs that line."""
    written: list[str] = []
    painter = Painter(written.append)
    lines = [Line("one", 3), Line("two", 3), Line("three", 5)]
    painter.paint(lines, COLUMNS)
    painter.paint(lines, COLUMNS)
    painter.paint([lines[0], Line("2", 1), lines[2]], COLUMNS)

    assert ["one\x1b[K\r\ntwo\x1b[K\r\nthree\x1b[K\r\n\x1b[J", "\x1b[2A2\x1b[K\r\n\x1b[1B"] == [
        text.removeprefix("\r") for text in written
    ]


def test_a_narrower_terminal_is_repainted_from_the_top_of_the_folded_frame() -> None:
    """Three lines of 18 cells are six rows in a terminal of 10."""
    written: list[str] = []
    painter = Painter(written.append)
    painter.paint([Line("x" * 18, 18)] * 3, COLUMNS)
    painter.paint([Line("y", 1)], 10)

    assert "\x1b[6A\ry\x1b[K\r\n\x1b[J" == written[-1]


def test_the_cursor_is_hidden_while_painting() -> None:
    """And shown again afterwards."""
    screen = Screen()
    with painter_on(screen):
        assert not screen.cursor_shown
    assert screen.cursor_shown
