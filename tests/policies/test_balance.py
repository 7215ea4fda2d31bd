"""Which of several deployments is asked."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.policies.balance import least_busy, lowest_latency, sticky, weighted
from multi_llm_wrapper.policies.health import Health


@dataclass(eq=False)
class Place:
    name: str
    weight: float = 1.0
    health: Health = field(default_factory=Health)


def place(name: str, *, weight: float = 1.0, busy: int = 0, latency: float | None = None) -> Place:
    made = Place(name, weight)
    if latency is not None:
        made.health.begin(0.0)
        made.health.end(None, latency, latency)
    for _ in range(busy):
        made.health.begin(1.0)
    return made


def test_weighted_is_in_proportion() -> None:
    """Of ten thousand choices each has its share, within three hundredths."""
    places = [place("a", weight=1), place("b", weight=2), place("c", weight=7)]
    rng = random.Random(1)
    found = Counter(weighted(places, rng).name for _ in range(10_000))

    assert [0.1, 0.2, 0.7] == [pytest.approx(found[name] / 10_000, abs=0.03) for name in "abc"]


@pytest.mark.parametrize(
    ("busy", "weights", "expected"),
    [((0, 1, 2), (1, 1, 1), {"a"}), ((2, 2, 3), (1, 1, 1), {"a", "b"}), ((2, 3, 9), (1, 2, 9), {"c"})],
)
def test_least_busy_for_its_weight(busy: tuple[int, ...], weights: tuple[float, ...], expected: set[str]) -> None:
    """The fewest requests under way; by chance among equals."""
    places = [place(n, busy=b, weight=w) for n, b, w in zip("abc", busy, weights, strict=True)]
    rng = random.Random(1)

    assert expected == {least_busy(places, rng).name for _ in range(100)}


def test_latency_asks_each_one_first() -> None:
    """What was never asked is tried before anything else."""
    places = [place("a", latency=0.1), place("b"), place("c", latency=0.2)]

    assert {"b"} == {lowest_latency(places, random.Random(i)).name for i in range(50)}


def test_latency_does_not_fall_for_what_never_answered() -> None:
    """One that was asked and has only failed is the worse choice, not the unknown one."""
    failing = place("b")
    failing.health.begin(0.0)
    failing.health.failures += 1
    failing.health.dropped()
    places = [place("a", latency=5.0), failing]
    found = Counter(lowest_latency(places, random.Random(i)).name for i in range(1000))

    assert 0.2 < found["b"] / 1000 < 0.3  # when both draws fall on it


def test_latency_prefers_the_faster_of_two() -> None:
    """With two draws the fastest of three has five ninths, the slowest one ninth."""
    places = [place("a", latency=0.1), place("b", latency=0.2), place("c", latency=0.3)]
    rng = random.Random(1)
    found = Counter(lowest_latency(places, rng).name for _ in range(10_000))

    assert [5 / 9, 3 / 9, 1 / 9] == [pytest.approx(found[name] / 10_000, abs=0.03) for name in "abc"]


def test_latency_counts_what_is_under_way() -> None:
    """The fast one with a queue is not faster than the slow one without."""
    places = [place("a", latency=0.1, busy=9), place("b", latency=0.2)]
    found = Counter(lowest_latency(places, random.Random(i)).name for i in range(1000))

    assert found["b"] > 700


@given(st.integers(2, 8), st.integers(0, 7), st.lists(st.text(), min_size=1, max_size=30))
def test_sticky_stays_when_another_goes(number: int, gone: int, values: list[str]) -> None:
    """The same value always has the same one; when one goes, only its own values move."""
    places = [place(f"p{i}") for i in range(number)]
    left = [p for i, p in enumerate(places) if i != gone % number]
    for value in values:
        chosen = sticky(places, value)
        assert chosen is sticky(list(reversed(places)), value)
        if chosen in left:
            assert chosen is sticky(left, value)


def test_sticky_spreads_by_weight() -> None:
    """Over many values each has its share."""
    places = [place("a", weight=1), place("b", weight=3)]
    found = Counter(sticky(places, str(i)).name for i in range(10_000))

    assert 0.75 == pytest.approx(found["b"] / 10_000, abs=0.03)
