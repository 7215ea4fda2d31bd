"""The frame of the side-by-side view."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, ConsoleDimensions

from multi_llm_wrapper.cli.lanes import Lane
from multi_llm_wrapper.cli.panels import Panels
from multi_llm_wrapper.response import Chunk
from tests.cli.lanes import answered, closed, failed, say
from tests.cli.screen import Screen


def console(columns: int = 80) -> Console:
    return Console(file=io.StringIO(), width=columns, force_terminal=True, color_system="standard", highlight=False)


def picture(panels: Panels, height: int | None = None, columns: int = 80) -> list[str]:
    """The frame as a person sees it, without colours."""
    lines = panels.lines(console(columns), height)
    screen = Screen(columns, max(1, len(lines)))
    screen.feed("\r\n".join(line.text for line in lines))
    shown = screen.lines if lines else []

    assert [line.cells for line in lines] == [len(line) for line in shown]
    return shown


def lane_with(text: str, label: str = "gpt-4o-mini") -> Lane:
    lane = Lane(label, clock=lambda: 0.0)
    say(lane, text)
    return lane


def test_two_lanes_stand_side_by_side() -> None:
    """Model above, provider and time below, the texts in between."""
    first, second = lane_with("Hello there"), lane_with("", "claude-sonnet-4-5")
    second.state = "waiting"

    assert [
        "╭──────────── gpt-4o-mini ────────────╮╭───────── claude-sonnet-4-5 ─────────╮",
        "│ Hello there                         ││                                     │",
        "╰───────────────────── openai, 0.0 s ─╯╰──────────── openai, waiting, 0.0 s ─╯",
    ] == picture(Panels([first, second]))


@pytest.mark.parametrize("columns", [27, 53, 79, 80, 100, 120, 200])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_line_leaves_the_last_cell_free(columns: int, count: int) -> None:
    """Whatever the width, a frame has straight edges and nothing wraps."""
    lanes = [lane_with("word " * 30, f"model-{i}") for i in range(count)]

    shown = picture(Panels(lanes), None, columns)

    assert max(map(len, shown)) < columns
    assert count == sum(line.count("╭") for line in shown) == sum(line.count("╯") for line in shown)


def test_a_low_terminal_shows_the_newest_lines() -> None:
    """While it runs the frame is as high as the terminal allows; the final one has everything."""
    panels = Panels([lane_with("\n".join(map(str, range(50)))), lane_with("short")])

    assert 10 == len(picture(panels, 10))
    assert "│ 49 " in picture(panels, 10)[-2]
    assert 52 == len(picture(panels))


def test_rows_share_the_height() -> None:
    """Three lanes where two fit make two rows."""
    panels = Panels([lane_with("x\n" * 50, f"model-{i}") for i in range(3)])

    shown = picture(panels, 20, 60)

    assert 20 == len(shown)
    assert [True, False] == [f"model-{i}" in shown[0] and f"model-{2}" in shown[10] for i in (1, 2)]


def test_a_terminal_made_too_small_shows_the_lowest_panels() -> None:
    """A frame is never higher than the terminal."""
    panels = Panels([lane_with("x\n" * 50, f"model-{i}") for i in range(3)])

    shown = picture(panels, 8, 40)

    assert 8 == len(shown)
    assert " model-2 " in shown[3]


@pytest.mark.parametrize(
    ("columns", "rows", "count", "fits"),
    [
        (80, 24, 3, True),
        (53, 24, 2, True),
        (52, 24, 2, False),
        (80, 6, 2, True),
        (80, 5, 2, False),
        (80, 24, 13, False),
    ],
)
def test_panels_fit_only_where_they_can_be_read(columns: int, rows: int, count: int, fits: bool) -> None:
    """Two beside each other, and five lines for each."""
    assert fits is Panels([Lane("m")] * count).fit(ConsoleDimensions(columns, rows))


def test_the_states_of_a_lane_stand_under_its_panel() -> None:
    """Waiting, thinking, writing, done; failed with its error; stopped."""
    time = [0.0]
    lane = Lane("gpt-4o-mini", clock=lambda: time[0])
    panels = Panels([lane, Lane("other")])

    def below() -> str:
        return picture(panels)[-1].split("╯")[0].strip("╰─ ")

    assert "waiting, 0.0 s" == below()
    time[0] = 0.31
    lane.take(Chunk(type="reasoning", reasoning="hm", provider="openai"))
    assert "openai, thinking, 0.3 s" == below()
    say(lane, "text")
    assert "openai, 0.3 s" == below()
    lane.end(answered("text"))
    assert "openai, 1.50 s" == below()
    lane.end(closed("text"))
    assert "openai, stopped" == below()
    lane.end(failed())
    assert "openai, failed" == below()


def test_an_error_stands_under_what_came_of_the_answer() -> None:
    """In red, with its class."""
    lane = lane_with("Half an answ")
    lane.end(failed("Too many requests; wait a minute."))
    panels = Panels([lane, Lane("other")])

    shown = [line.split("│")[1].strip() for line in picture(panels)[1:-1]]

    assert ["Half an answ", "rate_limit: Too many requests; wait", "a minute."] == shown
    assert "\x1b[31mrate_limit" in "".join(line.text for line in panels.lines(console(), None))


def test_a_restart_empties_the_panel() -> None:
    """What came before is not part of the answer."""
    lane = lane_with("Wrong")
    panels = Panels([lane, Lane("other")])
    picture(panels)
    lane.take(Chunk(type="restart", provider="openai"))
    say(lane, "Right")

    assert "Right" == picture(panels)[1].split("│")[1].strip()


def test_a_lane_keeps_hostile_text_harmless() -> None:
    """Escape sequences in an answer or a label do not reach the terminal."""
    lane = lane_with("red \x1b[31mtext\x1b]0;title\x07", "gpt\x1b[2J")

    assert "red [31mtext]0;title" == picture(Panels([lane, Lane("other")]))[1].split("│")[1].strip()
