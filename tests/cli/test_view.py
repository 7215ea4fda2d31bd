"""Answers as plain text: one alone, or several in blocks."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from multi_llm_wrapper.cli.lanes import Lane
from multi_llm_wrapper.cli.view import Answer, Blocks, Quiet, view_of
from multi_llm_wrapper.response import Chunk
from tests.cli.lanes import answered, closed, failed, say

Capture = pytest.CaptureFixture[str]


def test_one_answer_is_alone_on_standard_output(capsys: Capture) -> None:
    """Its text as it comes, and the end of the line."""

    async def main() -> None:
        lane = Lane("gpt-4o-mini")
        async with Answer(lane):
            say(lane, "Hel", "lo")
            assert "Hello" == capsys.readouterr().out
            lane.end(answered("Hello"))

    asyncio.run(main())

    assert "\n" == capsys.readouterr().out


def test_a_pipe_gets_the_answer_letter_for_letter(capsys: Capture) -> None:
    """Tabs, escapes and the line end it has; no second one."""

    async def main() -> None:
        lane = Lane("gpt-4o-mini")
        async with Answer(lane):
            say(lane, "\ta\x1b[1m\r\n")

    asyncio.run(main())

    assert "\ta\x1b[1m\r\n" == capsys.readouterr().out


def test_a_restart_is_told(capsys: Capture) -> None:
    """What was written cannot be taken back, so standard error says what it is."""

    async def main() -> None:
        lane = Lane("gpt-4o-mini")
        async with Answer(lane):
            say(lane, "Wro")
            lane.take(Chunk(type="restart"))
            say(lane, "Right")

    asyncio.run(main())

    out, err = capsys.readouterr()
    assert "Wro\nRight\n" == out
    assert "(that was cut off; the answer begins anew)\n" == err


def test_blocks_come_in_the_order_of_the_models(capsys: Capture) -> None:
    """The first is shown as it comes; one that is faster waits for its turn, and fails in its place."""

    async def main() -> None:
        first, second, third = Lane("one"), Lane("two"), Lane("three")
        async with Blocks([first, second, third]):
            say(second, "2")
            say(first, "1")
            assert "== one ==\n1" == capsys.readouterr().out
            second.end(answered("2"))
            third.end(failed("Too many."))
            assert "" == capsys.readouterr().out
            first.end(answered("1"))
            assert "\n\n== two ==\n2\n\n== three ==\nError: Too many.\n\n" == capsys.readouterr().out

    asyncio.run(main())

    assert "" == capsys.readouterr().out


def test_blocks_end_when_they_are_interrupted(capsys: Capture) -> None:
    """Everything that came is shown, marked as not whole."""

    async def main() -> None:
        first, second = Lane("one"), Lane("two")
        async with Blocks([first, second]):
            say(first, "1")
            say(second, "2")
            first.end(closed("1"))
            second.end(closed("2"))

    asyncio.run(main())

    assert "== one ==\n1\n(interrupted)\n\n== two ==\n2\n(interrupted)\n\n" == capsys.readouterr().out


def test_blocks_that_are_left_early_show_what_came(capsys: Capture) -> None:
    """Of lanes that never came to an end, too."""

    async def main() -> None:
        first, second = Lane("one"), Lane("two")
        async with Blocks([first, second]):
            say(second, "2")

    asyncio.run(main())

    assert "== one ==\n\n== two ==\n2\n\n" == capsys.readouterr().out


def test_the_view_suits_the_number_of_lanes() -> None:
    """Without a terminal there are no panels."""
    out = Console(file=io.StringIO())

    assert Answer is type(view_of([Lane("one")], out))
    assert Blocks is type(view_of([Lane("one"), Lane("two")], out))


def test_quiet_shows_nothing(capsys: Capture) -> None:
    """It is for output made from the finished responses."""

    async def main() -> None:
        async with Quiet():
            say(Lane("one"), "text")

    asyncio.run(main())

    assert ("", "") == tuple(capsys.readouterr())
