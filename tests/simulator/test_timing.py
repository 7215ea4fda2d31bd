"""Waits by the dice: their distribution, how they are written, and which of several counts."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.simulator import Brain, Timing, Wait
from multi_llm_wrapper.simulator.dice import Dice
from multi_llm_wrapper.simulator.timing import PRESETS, Pacer, TimingTable
from tests.simulator.support import DIALECTS, ask, body_of


def samples(wait: Wait, count: int = 20_000) -> list[float]:
    dice = Dice(1, "test")
    return sorted(wait.sample(dice) for _ in range(count))


@given(median=st.floats(0.0001, 10), spread=st.floats(1.05, 30))
def test_waits_have_the_median_and_p99_that_were_asked_for(median: float, spread: float) -> None:
    """Within what 5,000 samples can tell."""
    found = samples(Wait(median, median * spread), 5000)

    assert found[2500] == pytest.approx(median, rel=0.02 * spread)
    assert found[4950] == pytest.approx(median * spread, rel=0.30)
    assert found[0] > 0


def test_waits_are_log_normal() -> None:
    """As far below the median as above it, by the factor."""
    wait = Wait(0.3, 0.9)
    found = samples(wait)

    assert found[200] == pytest.approx(0.1, rel=0.1)
    for share in (0.1, 0.25, 0.75, 0.9):
        assert found[int(share * len(found))] == pytest.approx(wait.quantile(share), rel=0.03)


def test_stalls_are_as_rare_and_as_long_as_they_say() -> None:
    """On top of the wait itself."""
    found = samples(Wait(0.01, 0, stall_share=0.02, stall=5.0))

    assert 0.015 < sum(wait > 5 for wait in found) / len(found) < 0.025
    assert {0.01, 5.01} == {round(wait, 6) for wait in found}


@pytest.mark.parametrize(
    ("text", "timing"),
    [
        ("first=300/900 gap=20/60", Timing(Wait(0.3, 0.9), Wait(0.02, 0.06))),
        ("gap=20, stall=0.001/2000", Timing(Wait(), Wait(0.02, 0, 0.001, 2.0))),
        ("first=5 first_stall=0.1/20000", Timing(Wait(0.005, 0, 0.1, 20.0))),
        (" Zero ", Timing()),
        ("groq-llama2-70b", PRESETS["groq-llama2-70b"]),
        ("", Timing()),
    ],
)
def test_timings_are_written_in_milliseconds(text: str, timing: Timing) -> None:
    """Median/p99 and share/length, or the name of a preset."""
    assert timing == Timing.of(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("groq-llama2", "did you mean 'groq-llama2-70b'"),
        ("first=3OO", "Write first=300/900"),
        ("first=-1", "is no timing"),
        ("gap=20/10", "less than the median"),
        ("gap=0/10", "p99 without a median"),
        ("stall=2/10", "from 0 to 1"),
        ("first=999999999", "must be from 0 to 86400"),
    ],
)
def test_what_is_no_timing_is_told_with_a_remedy(text: str, said: str) -> None:
    """The error says what is wrong or what to write, the name of a similar preset included."""
    with pytest.raises(ValueError, match=said):
        Timing.of(text)


@pytest.mark.parametrize("fields", [{"median": nan}, {"median": inf}, {"median": -1.0}, {"stall_share": 1.5}])
def test_waits_are_checked_when_they_are_made(fields: dict[str, float]) -> None:
    """No wait is infinite, negative or no number, which would come out only in the middle of a reply."""
    with pytest.raises(ValueError, match="must be from 0 to"):
        Wait(**fields)


def test_presets_are_positive_and_ordered() -> None:
    """Each has a first wait longer than its gaps, and a p99 above the median."""
    for name, timing in PRESETS.items():
        if name != "zero":
            assert timing.first.median > timing.gap.median > 0, name
            assert timing.first.p99 > timing.first.median, name


def test_a_pacer_waits_for_the_first_once() -> None:
    """Then a gap for each token; also when the first comes with others, or none comes."""
    timing = Timing(Wait(1.0), Wait(0.25))

    assert 1.5 == Pacer(timing, Dice(0)).tokens(3)
    assert 1.0 == Pacer(timing, Dice(0)).tokens(0)
    pacer = Pacer(timing, Dice(0))
    assert [1.0, 0.5, 0.25] == [pacer.tokens(1), pacer.tokens(2), pacer.tokens(1)]


def test_the_first_pattern_that_fits_a_model_counts() -> None:
    """In the order in which they stand; a model that fits none has no timing."""
    table = TimingTable({"gpt-4o-mini": "gap=1", "gpt-*": "gap=2"})

    assert [Timing.of("gap=1"), Timing.of("gap=2"), None] == [
        table.find(model) for model in ("gpt-4o-mini", "gpt-4o", "claude-x")
    ]


# --- in the brain ----------------------------------------------------------------------------------------------------


def delays(brain: Brain, dialect: str = "openai_chat", **headers: str) -> list[float]:
    asked = ask(dialect, stream=True)
    plan = brain.handle(asked._replace(headers={**asked.headers, **headers}).sim())
    return [step.delay for step in plan.steps]


def test_flat_out_is_the_default() -> None:
    """Where nobody asked for a timing, no piece waits."""
    assert {0.0} == set(delays(Brain()))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_streams_take_the_timing_of_their_model(dialect: str) -> None:
    """The first wait before the first piece, gaps that differ after it; the words are the same as without."""
    brain = Brain(timing="first=300/900 gap=20/60")
    found = delays(brain, dialect)

    assert 0.05 < found[0] < 2.0
    assert len(set(found[1:-1])) > len(found) / 2
    assert body_of(Brain(), ask(dialect, stream=True)) == body_of(brain, ask(dialect, stream=True))


def test_timings_repeat_with_the_seed_and_differ_by_request() -> None:
    """The same sequence of requests has the same waits."""
    brain = Brain(timing="first=300/900 gap=20/60")
    first, second = delays(brain), delays(brain)
    brain.reset()

    assert first == delays(brain)
    assert first != second
    assert first != delays(Brain(timing="first=300/900 gap=20/60", seed=1))


def test_a_requests_header_counts_before_everything() -> None:
    """Then the scripted answer's timing, the model's, and at last pace and first token."""
    brain = Brain(pace=9.0, first_token=9.0, timing={"gpt-*": "first=3000 gap=3000"})
    brain.script({"text": "one two", "timing": "first=2000 gap=2000"}, times=2)

    assert [1.0, 1.0, 0.0] == delays(brain, **{"x-sim-timing": "first=1000 gap=1000"})
    assert [2.0, 2.0, 0.0] == delays(brain)
    assert [3.0, 3.0] == delays(brain)[:2]
    assert [9.0, 9.0] == delays(brain, "gemini")[:2]
    assert {0.0} == set(delays(brain, **{"x-sim-timing": "zero"}))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_header_that_makes_no_sense_is_refused(dialect: str) -> None:
    """As a bad request, with what to write instead."""
    asked = ask(dialect)
    plan = Brain().handle(asked._replace(headers={**asked.headers, "x-sim-timing": "fast"}).sim())

    assert 400 == plan.status
    assert b"x-sim-timing: 'fast' is no timing; Write first=300/900" in b"".join(step.data for step in plan.steps)


def test_a_plain_answer_takes_the_time_of_all_its_tokens() -> None:
    """The first wait and a gap for each further token."""
    brain = Brain(timing="first=1000 gap=100")

    assert 1.3 == pytest.approx(brain.handle(ask("openai_chat", max_tokens=4).sim()).delay)
