"""The bucket that bounds second requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.policies.hedges import Bucket


def test_ten_hedges_are_there_from_the_start() -> None:
    """The eleventh has to wait for more calls."""
    bucket = Bucket()

    assert [True] * 10 + [False] == [bucket.take() for _ in range(11)]
    assert 10 == bucket.sent


def test_ten_calls_earn_one() -> None:
    """A tenth for each, and never more than ten in store."""
    bucket = Bucket()
    for _ in range(10):
        bucket.take()
    for _ in range(9):
        bucket.refill()
    assert not bucket.take()
    for _ in range(2):
        bucket.refill()
    assert bucket.take()
    for _ in range(1000):
        bucket.refill()
    assert 10.0 == bucket.level


@given(st.lists(st.booleans(), max_size=400))
def test_it_is_never_exceeded(steps: list[bool]) -> None:
    """Whatever the order: at most ten and a tenth of the calls."""
    bucket = Bucket()
    calls = 0
    for is_call in steps:
        if is_call:
            bucket.refill()
            calls += 1
        else:
            bucket.take()
        assert bucket.sent <= 10 + 0.1 * calls + 1e-6
        assert -1e-9 <= bucket.level <= 10
