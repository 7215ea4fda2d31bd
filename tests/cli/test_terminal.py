"""The command line as a person sees it: in a pseudo-terminal, with keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multi_llm_wrapper.simulator import Simulator
from tests.cli.support import Open


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 35)])
def test_the_demo_streams_side_by_side_and_its_end_stays(open_terminal: Open, columns: int, rows: int) -> None:
    """Three panels that grow, then the whole answers once, then the table."""
    terminal = open_terminal("demo", "--pace", "3", columns=columns, rows=rows)
    terminal.wait_for(r"gpt-4o-mini ─+╮╭─+ claude-sonnet-4-5 ─+╮╭─+ gemini-2\.5-flash")
    terminal.wait_for(r"openai, \d\.\d s")
    assert not terminal.screen.cursor_shown

    assert 0 == terminal.wait()
    text = terminal.screen.text
    assert terminal.screen.cursor_shown
    assert 1 == text.count(" gpt-4o-mini ─") == text.count("╭─") // 3
    assert "│ " in text
    assert max(map(len, text.splitlines())) < columns
    assert ["openai", "anthropic", "gemini"] == [line.split()[0] for line in text.splitlines()[-5:-2]]
    assert "Next: multi-llm demo --live" in text.splitlines()[-1]


def test_what_changed_is_all_that_is_written(open_terminal: Open) -> None:
    """No frame is cleared and drawn anew, which would flicker."""
    terminal = open_terminal("demo", "--pace", "3")

    assert 0 == terminal.wait()
    assert "\x1b[2J" not in terminal.output
    assert terminal.output.count(" gpt-4o-mini ") <= 4  # first frame, perhaps one at the rim, last frame, table


def test_a_narrow_terminal_gets_blocks(open_terminal: Open) -> None:
    """So does one that cannot move its cursor. A stale COLUMNS does not make it wider."""
    narrow = open_terminal("demo", "--pace", "0", columns=50, env={"COLUMNS": "120"})
    dumb = open_terminal("demo", "--pace", "0", env={"TERM": "dumb"})

    for terminal in (narrow, dumb):
        assert 0 == terminal.wait()
        assert "== gpt-4o-mini ==" in terminal.screen.text
    assert "\x1b" not in dumb.output


def test_no_color_is_honoured(open_terminal: Open, at_simulator: Simulator) -> None:
    """Bold may stay."""
    coloured = open_terminal("ask", "Hi", "-m", "gpt-4o", "-m", "groq/x")
    plain = open_terminal("ask", "Hi", "-m", "gpt-4o", "-m", "groq/x", env={"NO_COLOR": "1"})

    assert 3 == coloured.wait() == plain.wait()
    assert "\x1b[36m" in coloured.output
    assert "\x1b[3" not in plain.output


def test_lines_of_an_answer_end_between_words(open_terminal: Open, at_simulator: Simulator) -> None:
    """One model, no panel; every word is whole."""
    terminal = open_terminal("ask", "Why is the sky blue?", "-m", "gpt-4o-mini", columns=60)

    assert 0 == terminal.wait()
    answer = at_simulator.journal[-1]
    assert answer.stream
    lines = terminal.screen.text.splitlines()
    assert len(lines) > 3
    assert all(40 < len(line) <= 60 for line in lines[:-1])


@pytest.mark.parametrize(("end", "status"), [("interrupt", 130), ("terminate", 143)])
def test_an_interrupted_view_leaves_what_came_and_the_cursor(
    open_terminal: Open, at_simulator: Simulator, end: str, status: int
) -> None:
    """The panels stay, marked, and every connection is closed."""
    at_simulator.pace = 0.05
    terminal = open_terminal("ask", "Hi", "-m", "gpt-4o-mini", "-m", "claude-sonnet-4-5")
    terminal.wait_for(r"│ \S+ \S+.*││ \S+ \S+")
    getattr(terminal, end)()

    assert status == terminal.wait()
    assert terminal.screen.cursor_shown
    assert 2 == terminal.screen.text.count("stopped ─╯")
    assert at_simulator.wait_for(lambda journal: all(entry.hung_up for entry in journal))


def test_a_chat_keeps_an_interrupted_answer(open_terminal: Open, at_simulator: Simulator, tmp_path: Path) -> None:
    """Ctrl-C ends the answer and not the conversation; at the prompt it ends the conversation."""
    at_simulator.pace = 0.05
    terminal = open_terminal("chat", "-m", "gpt-4o-mini", cwd=tmp_path)
    terminal.wait_for(r"Chat with gpt-4o-mini\. /help lists the commands, Ctrl-D ends it\.\n\n>")
    terminal.keys("Why?\r")
    terminal.wait_for(r"> Why\?\n\S+ \S+ \S+")
    terminal.interrupt()
    terminal.wait_for(r"\(interrupted; what came of it is kept\)\n\n>")
    at_simulator.pace = 0.0
    terminal.keys("And how?\r")
    terminal.wait_for(r"> And how\?\n[^>]+\n\n>")
    terminal.keys("/save talk.json\r")
    terminal.wait_for(r"Saved 4 messages to talk\.json\.\n\n>")

    assert 0 == terminal.leave()
    kept = json.loads((tmp_path / "talk.json").read_text())
    assert kept[1]["content"].endswith(" [interrupted]")
    assert kept[:3] == at_simulator.journal[-1].json["messages"]
    assert at_simulator.journal[0].hung_up


def test_an_answer_interrupted_before_it_began_can_be_retried(open_terminal: Open, at_simulator: Simulator) -> None:
    """Nothing came, so nothing is kept but the question."""
    at_simulator.first_token = 30.0
    terminal = open_terminal("chat", "-m", "gpt-4o-mini")
    terminal.wait_for(">")
    terminal.keys("Why?\r")
    assert at_simulator.wait_for(lambda journal: len(journal) == 1)
    terminal.interrupt()
    terminal.wait_for(r"\(interrupted; /retry asks again\)")
    at_simulator.first_token = 0.0
    terminal.keys("/retry\r")
    terminal.wait_for(r'"Why\?"[^>]+\n\n>')
    terminal.keys("\x04")

    assert 0 == terminal.wait()
    assert at_simulator.journal[0].json == at_simulator.journal[1].json


def test_a_typed_prompt_ends_with_ctrl_d(open_terminal: Open, at_simulator: Simulator) -> None:
    """And says how, while it waits."""
    terminal = open_terminal("ask", "-", "-m", "gpt-4o-mini")
    terminal.wait_for("Reading the prompt from standard input; Ctrl-D ends it")
    terminal.keys("Typed?\r\x04")

    assert 0 == terminal.wait()
    assert '"Typed?"' in terminal.screen.text
