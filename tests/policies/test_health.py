"""What is known of a deployment: up or out, busy, fast."""

from __future__ import annotations

import pytest

from multi_llm_wrapper.errors import (
    CLASSES,
    AuthError,
    ContentFilterError,
    LLMError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from multi_llm_wrapper.policies.health import Health


def attempt(health: Health, error: LLMError | None, now: float, seconds: float = 1.0) -> None:
    """One that was sent `seconds` before `now`."""
    health.begin(now - seconds)
    health.end(error, seconds, now, now - seconds)


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (AuthError("x"), 60.0), (QuotaExceededError("x"), 60.0), (QuotaExceededError("x", retry_after=90.0), 90.0),
        (RateLimitError("x", retry_after=17.0), 17.0), (RateLimitError("x"), 5.0), (ServerError("x"), 0.0),
        (ContentFilterError("x"), 0.0),
    ],
)  # fmt: skip
def test_what_waiting_alone_can_mend_takes_it_out(error: LLMError, out: float) -> None:
    """For its time, and not a moment longer."""
    health = Health()
    attempt(health, error, 100.0)

    assert (out == 0.0) is health.available(100.0)
    assert health.available(100.0 + out)
    assert out == health.view(100.0)["out_seconds"]
    assert (error.error_type if out else None) == health.view(100.0)["out_reason"]


def test_it_can_be_asked_whether_it_is_back_after_a_wait() -> None:
    """The wait that it named itself is long enough."""
    health = Health()
    attempt(health, RateLimitError("x", retry_after=17.0), 100.0)

    assert [False, True] == [health.available(100.0, wait) for wait in (16.9, 17.0)]


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    """Two limits at once: both have to pass."""
    health = Health()
    attempt(health, RateLimitError("x", retry_after=30.0), 100.0)
    attempt(health, RateLimitError("x", retry_after=2.0), 101.0)

    assert [False, True] == [health.available(now) for now in (129.9, 130.0)]


def test_an_answer_brings_it_back() -> None:
    """One that was asked for after the take-out; an earlier one that was still under way says nothing about it."""
    health = Health()
    attempt(health, AuthError("x"), 100.0)
    attempt(health, None, 102.0, seconds=5.0)
    assert not health.available(102.0)
    attempt(health, None, 104.0, seconds=1.0)
    assert health.available(104.0)


@pytest.mark.parametrize("kind", CLASSES)
def test_which_failures_open_the_circuit(kind: str) -> None:
    """Those that speak against the deployment, not against the request or the account."""
    health = Health()
    for i in range(5):
        attempt(health, CLASSES[kind]("x"), float(i))

    breaks = {
        "overloaded", "server_error", "timeout", "connection_error", "malformed_response", "empty_response",
        "incomplete_stream",
    }  # fmt: skip
    assert ("open" if kind in breaks else "closed") == health.view(5.0)["circuit"]


def test_what_was_given_up_says_nothing() -> None:
    """A cancelled attempt is no failure and teaches no latency; it is no longer busy."""
    health = Health()
    for _ in range(10):
        health.begin(0.0)
        health.dropped()

    assert (0, 10, 0, None, True) == (
        health.busy,
        health.attempts,
        health.failures,
        health.latency,
        health.available(0.0),
    )


def test_latency_follows_the_present() -> None:
    """A decaying average: close to the new value soon, and at once after a long silence."""
    health = Health()
    attempt(health, None, 0.0, seconds=10.0)
    assert 10.0 == health.latency
    attempt(health, None, 1.0, seconds=1.0)
    assert health.latency is not None
    assert 1.0 < health.latency < 10.0
    attempt(health, None, 1000.0, seconds=2.0)
    assert 2.0 == pytest.approx(health.latency, abs=1e-6)


def test_the_gate_follows_the_limit() -> None:
    """None without a limit, one and the same gate with any."""
    health = Health()
    assert health.gate_for(None) is None
    gate = health.gate_for(3)
    assert gate is not None
    assert gate is health.gate_for(7)
    assert 7 == gate.limit
    assert health.gate_for(None) is None
