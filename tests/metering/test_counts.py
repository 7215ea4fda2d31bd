"""Usage counts and response times by provider."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.metering.counts import Counts
from multi_llm_wrapper.types import Usage

ZERO = {"requests": 0, "tokens": 0, "input_tokens": 0, "output_tokens": 0, "errors": 0, "cache_hits": 0}


def test_every_configured_provider_is_there() -> None:
    """Also one that was never asked; one that was asked is there without being configured."""
    counts = Counts()
    counts.success("groq", None, 1.0)

    assert {"openai": ZERO, "groq": {**ZERO, "requests": 1}} == counts.stats(["openai"])
    assert ["openai", "gemini", "groq"] == list(counts.stats(["openai", "gemini"]))


def test_a_success_counts_requests_and_tokens() -> None:
    """Input, output and total as reported."""
    counts = Counts()
    counts.success("openai", Usage(3, 2, 6), 1.0)
    counts.success("openai", Usage(1, 1, 2), 1.0)

    assert {**ZERO, "requests": 2, "tokens": 8, "input_tokens": 4, "output_tokens": 3} == counts.stats([])["openai"]


def test_a_hit_counts_as_a_hit_and_nothing_else() -> None:
    """No request, no tokens, no time."""
    counts = Counts()
    counts.success("openai", Usage(3, 2, 5), 1.0)
    before = counts.stats([])["openai"]
    counts.hit("openai")

    assert ({**before, "cache_hits": 1}, 1.0) == (counts.stats([])["openai"], counts.average_seconds("openai"))


@pytest.mark.parametrize(
    ("usage", "tokens", "inside", "outside"),
    [
        (None, 0, 0, 0),
        (Usage(), 0, 0, 0),
        (Usage(3, 2), 5, 3, 2),
        (Usage(None, 2), 2, 0, 2),
        (Usage(3, 2, 0), 0, 3, 2),
        (Usage(None, None, 7), 7, 0, 0),
    ],
)
def test_what_was_not_reported_adds_nothing(usage: Usage | None, tokens: int, inside: int, outside: int) -> None:
    """A total that was not reported is the sum of what was."""
    counts = Counts()
    counts.success("openai", usage, 1.0)

    assert {**ZERO, "requests": 1, "tokens": tokens, "input_tokens": inside, "output_tokens": outside} == counts.stats(
        []
    )["openai"]


def test_a_failure_counts_as_request_and_error() -> None:
    """With what a stream had reported before it failed."""
    counts = Counts()
    counts.failure("openai", Usage(3, 2, 5), 1.0)
    counts.failure("openai", None, 1.0)

    assert {**ZERO, "requests": 2, "tokens": 5, "input_tokens": 3, "output_tokens": 2, "errors": 2} == counts.stats([])[
        "openai"
    ]


def test_the_average_is_over_all_calls() -> None:
    """Successes and failures alike; 0.0 where there were none."""
    counts = Counts()
    counts.success("openai", None, 1.0)
    counts.failure("openai", None, 2.0)
    counts.success("groq", None, 9.0)

    assert [1.5, 9.0, 0.0] == [counts.average_seconds(name) for name in ("openai", "groq", "gemini")]


def test_stats_are_a_snapshot() -> None:
    """Changing what was given changes no count."""
    counts = Counts()
    counts.success("openai", None, 1.0)
    counts.stats([])["openai"]["requests"] = 99

    assert 1 == counts.stats([])["openai"]["requests"]


counted = st.none() | st.integers(0, 100)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.booleans(),
            st.builds(Usage, counted, counted, counted),
            st.sampled_from([0.25, 0.5, 2.0]),
        ),
        max_size=20,
    )
)
def test_counts_are_sums(calls: list[tuple[str, bool, Usage, float]]) -> None:
    """Each number is the sum over the calls of its provider."""
    counts = Counts()
    for name, good, usage, seconds in calls:
        (counts.success if good else counts.failure)(name, usage, seconds)

    for name in ("a", "b"):
        own = [call for call in calls if call[0] == name]
        found = counts.stats(["a", "b"])[name]

        assert (len(own), sum(not good for _, good, _, _ in own)) == (found["requests"], found["errors"])
        assert sum(usage.input_tokens or 0 for _, _, usage, _ in own) == found["input_tokens"]
        assert sum(usage.output_tokens or 0 for _, _, usage, _ in own) == found["output_tokens"]
        assert (sum(call[3] for call in own) / len(own) if own else 0.0) == counts.average_seconds(name)
