"""The one owner of retries: how often, after which wait, and when it is over."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.errors import CLASSES, AuthError, ConnectionError, LLMError, RateLimitError, ServerError
from multi_llm_wrapper.policies.budget import STALE, Budget

FAR = 1e9


class Highest(random.Random):
    """Draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        assert 0 == a
        return b


def wait_after(budget: Budget, error: LLMError, now: float) -> float | None:
    """Seconds to wait before the next attempt on the only route."""
    step = budget.after(error, now)
    return None if step is None else step.wait


def waits(budget: Budget, error: LLMError, now: float = 0.0) -> list[float | None]:
    """What the budget says after each attempt, until it says that there is none."""
    found: list[float | None] = []
    while not found or found[-1] is not None:
        budget.attempts += 1
        found.append(wait_after(budget, error, now))
    return found


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_there_are_so_many_attempts_and_no_more(retries: int) -> None:
    """One, and as many again as there are retries."""
    budget = Budget(retries, FAR)

    assert 1 + retries == len(waits(budget, ServerError("x"))) == budget.attempts


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
def test_only_what_may_go_better_is_tried_again(kind: type[LLMError]) -> None:
    """A failure that is not retryable ends the call at once."""
    budget = Budget(2, FAR)
    budget.attempts = 1

    assert kind.retryable is (wait_after(budget, kind("x"), 0.0) is not None)


def test_back_off_doubles_from_half_a_second_to_eight() -> None:
    """These are the upper bounds of the jitter."""
    assert [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, None] == waits(Budget(7, FAR, Highest()), ServerError("x"))


@given(st.integers(0, 2**32), st.integers(1, 100))
def test_jitter_is_full(seed: int, attempt: int) -> None:
    """Anything from nothing to the upper bound."""
    budget = Budget(100, FAR, random.Random(seed))
    budget.attempts = attempt
    wait = wait_after(budget, ServerError("x"), 0.0)

    assert wait is not None
    assert 0 <= wait <= min(8.0, 0.5 * 2 ** (attempt - 1))


def test_jitter_spreads() -> None:
    """A thousand callers do not come back at once, but all over the time."""
    found = [wait for seed in range(1000) if (wait := waits(Budget(1, FAR, random.Random(seed)), ServerError("x"))[0])]

    assert [] == [tenth for tenth in range(10) if not any(tenth <= wait * 20 < tenth + 1 for wait in found)]


def test_without_a_generator_of_its_own_it_still_jitters() -> None:
    """The default source of chance is the module's."""
    found = {waits(Budget(1, FAR), ServerError("x"))[0] for _ in range(20)}

    assert len(found) > 1


@pytest.mark.parametrize("asked", [0.0, 0.001, 1.0, 37.5, 59.9, 60.0])
def test_a_wait_that_was_asked_for_is_kept_in_full(asked: float) -> None:
    """Up to a minute, neither shortened nor jittered, whichever attempt it is."""
    budget = Budget(3, FAR)

    assert [asked, asked, asked, None] == waits(budget, RateLimitError("x", retry_after=asked))


@pytest.mark.parametrize("asked", [60.1, 3600.0, math.inf])
def test_a_longer_wait_is_the_end(asked: float) -> None:
    """More than a minute is not waited for."""
    assert [None] == waits(Budget(3, FAR), RateLimitError("x", retry_after=asked))


@pytest.mark.parametrize("asked", [-1.0, -math.inf, math.nan])
def test_a_wait_that_makes_no_sense_is_none(asked: float) -> None:
    """A negative wait, or one that is no number, is no time at all."""
    assert [0.0, None] == waits(Budget(1, FAR), RateLimitError("x", retry_after=asked))


def test_the_latest_failure_says_how_long() -> None:
    """Not the first one."""
    budget = Budget(3, FAR, Highest())
    found = []
    for error in (
        RateLimitError("x", retry_after=9),
        RateLimitError("x", retry_after=3),
        ServerError("x"),
        AuthError("x"),
    ):
        budget.attempts += 1
        found.append(wait_after(budget, error, 0.0))

    assert [9, 3, 2.0, None] == found


@pytest.mark.parametrize(
    ("now", "asked", "expected"),
    [
        (0.0, 9.9, 9.9),
        (0.0, 10.0, None),
        (0.0, 10.1, None),
        (5.0, 4.9, 4.9),
        (5.0, 5.0, None),
        (10.0, 0.0, None),
        (11.0, 0.0, None),
    ],
)
def test_a_wait_has_to_fit_the_time_left(now: float, asked: float, expected: float | None) -> None:
    """One that ends with the call's time or after it is not begun."""
    budget = Budget(3, deadline=10.0)
    budget.attempts = 1

    assert expected == wait_after(budget, RateLimitError("x", retry_after=asked), now)


def test_back_off_has_to_fit_too() -> None:
    """It is not shortened to the time left either."""
    budget = Budget(9, deadline=10.0, rng=Highest())
    budget.attempts = 5

    assert 8.0 == wait_after(budget, ServerError("x"), 1.9)
    assert wait_after(budget, ServerError("x"), 2.0) is None


def stale() -> LLMError:
    return ConnectionError("x", code=STALE)


def test_a_stale_connection_costs_no_retry_once() -> None:
    """Nothing was asked, so it is tried again at once and for nothing; a second time it is a failure like any other."""
    assert [0.0, None] == waits(Budget(0, FAR), stale())
    assert [0.0, 1.0, 2.0, None] == waits(Budget(2, FAR, Highest()), stale())


def test_a_stale_connection_after_the_deadline_is_the_end() -> None:
    """There is no time to ask again."""
    assert [None] == waits(Budget(5, deadline=1.0), stale(), now=1.0)


@given(
    st.integers(0, 5),
    st.lists(
        st.tuples(
            st.sampled_from([ServerError, RateLimitError, AuthError, ConnectionError]),
            st.none() | st.floats(0, 100),
            st.booleans(),
            st.floats(0, 20),
        ),
        max_size=12,
    ),
)
def test_no_sequence_of_failures_breaks_the_bounds(
    retries: int, failures: list[tuple[type[LLMError], float | None, bool, float]]
) -> None:
    """At most one free attempt beside the retries, every wait within its bounds and within the time."""
    budget, now, free = Budget(retries, deadline=60.0), 0.0, 0
    for kind, asked, is_stale, duration in failures:
        budget.attempts += 1
        now += duration
        error = kind("x", retry_after=asked, code=STALE if is_stale else None)
        before = budget.max_attempts
        wait = wait_after(budget, error, now)
        free += budget.max_attempts - before
        if wait is None:
            break

        assert error.retryable or is_stale
        assert 0 <= wait <= 60
        assert now + wait < 60
        assert wait in (asked, 0.0) or (asked is None and wait <= 8)
        now += wait

    assert free <= 1
    assert budget.attempts <= 1 + retries + free
