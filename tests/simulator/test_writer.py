"""One plan on one connection: what is written together, and how it is framed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest

from multi_llm_wrapper.simulator import Plan, Step, whole
from multi_llm_wrapper.simulator.writer import WRITE_AT_ONCE, PlanWriter, render_head
from multi_llm_wrapper.testing.clock import VirtualClock
from tests.simulator.support import split_head, unchunked


class Transport:
    """Remembers what was written to it, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.full: Callable[[], object] = list

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.full()


def writes(plan: Plan, **options: Any) -> list[bytes]:
    """The writes that a plan is carried out with."""

    async def main() -> list[bytes]:
        transport, ended = Transport(), asyncio.Event()
        loop = asyncio.get_running_loop()
        PlanWriter(cast(asyncio.Transport, transport), loop, plan, ended.set, **options).pump()
        await ended.wait()
        return transport.writes

    return VirtualClock().run(main())


def pieces(count: int, size: int = 2) -> Iterable[Step]:
    return [Step(0.0, b"x" * size) for _ in range(count)]


def test_a_plain_reply_is_one_write() -> None:
    """Head and body together."""
    (data,) = writes(whole(200, {"a": "b"}, b"body"))

    assert data == b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 4\r\n\r\nbody"


def test_pieces_that_are_due_together_share_a_write() -> None:
    """Head, pieces and end; each piece is a chunk of its own all the same."""
    (data,) = writes(Plan(200, {}, pieces(50)))
    _, headers, body = split_head(data)

    assert headers == {"transfer-encoding": "chunked"}
    assert body == b"2\r\nxx\r\n" * 50 + b"0\r\n\r\n"


def test_pieces_are_written_one_by_one_when_the_plan_says_so() -> None:
    """For faults that depend on packets; the head goes with the first."""
    found = writes(Plan(200, {}, pieces(50), coalesce=False))

    assert found[0].endswith(b"\r\n\r\n2\r\nxx\r\n")
    assert found[1:] == [b"2\r\nxx\r\n"] * 49 + [b"0\r\n\r\n"]


def test_a_long_stream_lets_others_write_in_between() -> None:
    """No write is much longer than the bound, whatever the plan holds."""
    found = writes(Plan(200, {}, pieces(100, 10_000)))

    assert len(found) > 10
    assert max(map(len, found)) < WRITE_AT_ONCE + 20_000
    assert unchunked(split_head(b"".join(found))[2]) == b"x" * 1_000_000


def test_a_stream_of_single_writes_stops_when_the_socket_is_full() -> None:
    """Back-pressure holds between the pieces, too."""

    async def main() -> tuple[int, int]:
        transport, ended = Transport(), asyncio.Event()
        plan = Plan(200, {}, pieces(1000), coalesce=False)
        loop = asyncio.get_running_loop()
        writer = PlanWriter(cast(asyncio.Transport, transport), loop, plan, ended.set)

        def pause_once() -> None:
            if len(transport.writes) == 7:
                writer.pause()

        transport.full = pause_once
        writer.pump()
        before = len(transport.writes)
        writer.resume()
        await ended.wait()
        return before, len(transport.writes)

    assert VirtualClock().run(main()) == (7, 1001)


def test_empty_pieces_are_not_written() -> None:
    """An empty chunk would be the end of the body."""
    (data,) = writes(Plan(200, {}, [Step(0.0, b""), Step(0.0, b"a"), Step(0.0, b""), Step(0.0, b"b")]))

    assert unchunked(split_head(data)[2]) == b"ab"


def test_pieces_wait_for_their_time() -> None:
    """Each write has what is due by then, and the last one the end."""
    found = writes(Plan(200, {}, [Step(0.0, b"a"), Step(2.0, b"b"), Step(2.0, b"c")], delay=1.0))

    assert [found[0][-6:], *found[1:]] == [b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n0\r\n\r\n"]


@pytest.mark.parametrize("options", [{"head_only": True}, {}])
def test_replies_without_a_body_have_none(options: dict[str, Any]) -> None:
    """HEAD, and statuses that allow no body."""
    plan = whole(200 if options else 304, {}, b"body")
    (data,) = writes(plan, **options)

    assert split_head(data)[2] == b""
    assert (b"content-length: 4" in data) is bool(options)


def test_the_shell_frames_the_body_itself() -> None:
    """Framing headers of a plan are left out, unknown statuses and odd characters do no harm."""
    plan = Plan(299, {"content-length": "7", "transfer-encoding": "gzip", "connection": "x", "kept": "\u2615"}, [], 3)

    assert render_head(plan, False, True) == (
        b"HTTP/1.1 299 Unknown\r\nkept: ?\r\ncontent-length: 3\r\nconnection: close\r\n\r\n"
    )
