"""The circuit breaker: when it opens, how it probes, when it closes."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.policies.breaker import Breaker


def after(outcomes: str, every: float = 1.0) -> Breaker:
    """A breaker that has seen these outcomes: "+" good, "-" bad, one each `every` seconds."""
    breaker = Breaker()
    for i, outcome in enumerate(outcomes):
        breaker.begin(i * every)
        breaker.record(outcome == "+", i * every)
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "is_open"),
    [
        ("", False), ("----", False), ("-----", True), ("+++--", False), ("++---", True), ("+++---", True),
        ("+" * 6 + "-" * 5, False), ("+" * 6 + "-" * 6, True), ("+++++", False),
    ],
)  # fmt: skip
def test_half_of_at_least_five_open_it(outcomes: str, is_open: bool) -> None:
    """Fewer attempts say nothing, and a smaller part of failures is borne."""
    assert is_open is (after(outcomes).opened is not None)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """Four failures count no more half a minute later."""
    breaker = after("----", every=0.1)
    breaker.record(False, 34.0)

    assert breaker.opened is None


def test_what_is_within_the_window_counts() -> None:
    """Four failures 26 seconds ago and one now are five."""
    breaker = after("----", every=0.1)
    breaker.record(False, 26.0)

    assert 26.0 == breaker.opened


def test_one_probe_every_five_seconds() -> None:
    """While it is open an attempt is allowed when a probe is due, and each attempt puts the next one off."""
    breaker = after("-----", every=0.0)
    allowed = []
    for tenth in range(200):
        now = tenth / 10
        if breaker.allows(now):
            breaker.begin(now)
            breaker.record(False, now)
            allowed.append(now)

    assert [5.0, 10.0, 15.0] == allowed


def test_the_first_good_probe_closes_it_with_a_clean_slate() -> None:
    """The failures before are forgotten: four new ones do not open it."""
    breaker = after("-----", every=0.0)
    breaker.begin(5.0)
    breaker.record(True, 5.1)

    assert breaker.opened is None
    for _ in range(4):
        breaker.record(False, 5.2)
    assert breaker.opened is None
    breaker.record(False, 5.2)
    assert 5.2 == breaker.opened


def test_a_probe_under_way_lets_no_second_one_through() -> None:
    """However long it takes, the next one is five seconds later."""
    breaker = after("-----", every=0.0)
    breaker.begin(7.0)

    assert [False, False, True] == [breaker.allows(now) for now in (7.0, 11.9, 12.0)]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 12)), max_size=80))
def test_it_does_what_a_simple_model_does(steps: list[tuple[bool, float]]) -> None:
    """The model keeps every attempt of the last 30 s, in slots of 3 s as the breaker does."""
    breaker, kept, now = Breaker(), deque[tuple[int, bool]](), 0.0
    opened, probe = None, 0.0
    for good, pause in steps:
        now += pause
        allowed = opened is None or now >= probe
        assert allowed is breaker.allows(now)
        if not allowed:
            continue
        breaker.begin(now)
        breaker.record(good, now)
        if opened is not None:
            probe = now + 5.0
            if good:
                opened = None
                kept.clear()
            continue
        kept.append((int(now / 3), good))
        while kept and kept[0][0] <= int(now / 3) - 10:
            kept.popleft()
        bad = sum(not was_good for _, was_good in kept)
        if not good and len(kept) >= 5 and bad * 2 >= len(kept):
            opened, probe = now, now + 5.0
        assert opened == breaker.opened
