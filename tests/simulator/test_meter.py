"""How punctual the simulator was: the histogram, the rates, and what the shells tell it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.simulator import Brain, meter
from multi_llm_wrapper.simulator.meter import Meter
from multi_llm_wrapper.testing import VirtualClock
from tests.simulator.support import Shell, ask, read, run


@given(st.integers(0, 10**12))
def test_every_error_is_in_the_bucket_that_it_is_told_by(micros: int) -> None:
    """The bucket's upper end is above it, by 7 % or a microsecond at most."""
    index = meter._bucket(micros)

    assert 0 <= index < meter._SIZE
    if index < meter._SIZE - 1:
        assert micros < meter._upper(index) <= micros * 1.07 + 1


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200))
def test_quantiles_are_those_of_the_errors(errors: list[float]) -> None:
    """To about 7 %."""
    found = Meter()
    for error in errors:
        found.sent(100.0, 100.0 + error)
    report, ordered = found.report(), sorted(errors)

    assert len(errors) == report.sends
    assert max(errors) == pytest.approx(report.error_max, abs=1e-9)
    for share, told in ((0.50, report.error_p50), (0.99, report.error_p99)):
        true = ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
        assert told is not None
        assert true - 1e-6 <= told <= true * 1.08 + 3e-6 or told == report.error_max


def test_nothing_sent_is_nothing_known() -> None:
    """Errors, shares and rates are None, not nought."""
    report = Meter().report()

    assert (0, None, None, None, None) == (
        report.sends,
        report.error_p50,
        report.error_p99,
        report.error_max,
        report.late_share,
    )
    assert (None, None) == (report.highest_rate_on_time, report.saturation_rate)


def test_a_piece_is_never_early() -> None:
    """A timer that rings a microsecond before its time is on time."""
    found = Meter()
    found.sent(1.0, 0.9999995)

    assert 0.0 == found.report().error_max


def load(found: Meter, second: int, count: int, late: float) -> None:
    for _ in range(count):
        found.sent(second + 0.5 - late, second + 0.5)


def test_saturation_is_the_least_rate_that_was_late_above_the_most_that_was_not() -> None:
    """A slow second with little to do is a hiccup, no saturation."""
    found = Meter()
    for second, (count, late) in enumerate([(1000, 0.001), (300, 0.1), (5000, 0.002), (9000, 0.05), (8000, 0.03)]):
        load(found, second, count, late)
    report = found.report()

    assert (5000, 8000) == (report.highest_rate_on_time, report.saturation_rate)
    assert report.late_share == pytest.approx(17_300 / 23_300)


def test_seconds_with_little_in_them_say_nothing_of_rates() -> None:
    """One piece too few, and a second counts neither as on time nor as saturated."""
    found = Meter()
    load(found, 0, meter.ENOUGH - 1, 1.0)

    assert (None, None) == (found.report().highest_rate_on_time, found.report().saturation_rate)


@pytest.mark.parametrize("kind", ["http", "memory"])
def test_paced_pieces_are_measured_and_flat_out_ones_are_not(kind: str) -> None:
    """What is due at once has no time to miss."""

    async def main() -> tuple[int, int]:
        async with Shell(kind) as shell:
            await read(await shell.send(ask("openai_chat", stream=True)))
            flat = shell.brain.timing_report().sends
            shell.brain.pace = 0.001
            await read(await shell.send(ask("openai_chat", stream=True, max_tokens=20)))
            return flat, shell.brain.timing_report().sends

    flat, paced = run(main())

    assert 0 == flat
    assert 1 <= paced <= 22
    assert kind == "memory" or paced >= 19


def test_a_plain_answer_that_has_a_time_is_measured() -> None:
    """Its one piece is due when its stream would have ended."""

    async def main() -> int:
        async with Shell("http", Brain(first_token=0.01)) as shell:
            await read(await shell.send(ask("openai_chat", max_tokens=5)))
            return shell.brain.timing_report().sends

    assert 1 == run(main())


def test_the_report_tells_a_loop_that_was_held_up() -> None:
    """A block of 60 ms in the serving loop is an error of about as much, and the stream still ends on time."""

    async def main() -> Brain:
        brain = Brain(pace=0.005)
        async with Shell("http", brain) as shell:
            loop = asyncio.get_running_loop()
            reply = await shell.send(ask("openai_chat", stream=True, max_tokens=40))
            end = loop.time() + 0.06
            while loop.time() < end:
                pass
            await read(reply)
        return brain

    brain = run(main())
    report = brain.timing_report()

    assert report.error_max is not None
    assert report.error_max > 0.04
    ended = brain.journal[0].ended
    assert ended is not None
    assert ended >= 39 * 0.005


def test_under_a_virtual_clock_every_piece_is_exactly_on_time() -> None:
    """In memory; a minute of stream, and no microsecond of error."""
    clock = VirtualClock()

    async def main() -> Brain:
        async with Shell("memory", Brain(pace=1.0, first_token=5.0)) as shell:
            await read(await shell.send(ask("openai_chat", stream=True, max_tokens=55)))
            return shell.brain

    brain = clock.run(main())
    entry = brain.journal[0]

    assert [5.0, 6.0, 7.0] == pytest.approx([due for due, _ in entry.sent_at[:3]])
    assert all(actual == pytest.approx(due) for due, actual in entry.sent_at)
    assert 0.0 == pytest.approx(brain.timing_report().error_max, abs=1e-6)
    assert 59.0 == pytest.approx(entry.ended)


@pytest.mark.parametrize("kind", ["http", "memory"])
def test_the_journal_tells_when_pieces_were_sent_and_when_it_ended(kind: str) -> None:
    """Intended and actual seconds since the request, of every piece."""

    async def main() -> Brain:
        async with Shell(kind, Brain(pace=0.005, first_token=0.02)) as shell:
            await read(await shell.send(ask("openai_chat", stream=True, max_tokens=5)))
            return shell.brain

    entry = run(main()).journal[0]
    dues, actuals = zip(*entry.sent_at, strict=True)

    assert entry.sent_chunks == len(entry.sent_at)
    assert [0.02, 0.025, 0.03, 0.035, 0.04] == pytest.approx(list(dues)[:5], abs=1e-5)
    assert all(actual >= due - 1e-4 for due, actual in entry.sent_at)
    assert list(actuals) == sorted(actuals)
    assert entry.ended is not None
    assert entry.ended >= 0.04 - 1e-4


def test_a_long_stream_keeps_the_times_of_its_first_pieces_only() -> None:
    """The journal stays small whatever is sent."""

    async def main() -> Brain:
        async with Shell("http") as shell:
            shell.brain.replay(200, {}, chunks=[b"x"] * 1000)
            await read(await shell.send(ask("openai_chat")))
            return shell.brain

    entry = run(main()).journal[0]

    assert (1000, 256) == (entry.sent_chunks, len(entry.sent_at))
