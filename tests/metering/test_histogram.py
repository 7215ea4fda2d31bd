"""Times in buckets: quantiles within their error, sums that add up, one size."""

from __future__ import annotations

import math
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.metering.histogram import ERROR, HIGHEST, LOWEST, Histogram

NOTHING = {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}

ranges = st.sampled_from([(1e-6, 3600.0), (0.2, 8.0), (1e-6, 1e-4), (60.0, 3600.0)])
many_seconds = ranges.flatmap(lambda ends: st.lists(st.floats(*ends), min_size=1, max_size=300))
percents = st.sampled_from([Fraction(percent) for percent in (50, 90, 95, 99)]) | st.fractions(
    0, 100, max_denominator=10
)


def _of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def _facts(histogram: Histogram) -> tuple[dict[str, float], float, list[float]]:
    return histogram.summary(), histogram.minimum, [histogram.quantile(tenth / 10) for tenth in range(11)]


def test_the_error_is_below_one_percent() -> None:
    """Half a bucket of forty to the doubling."""
    assert 0.0087 < ERROR < 0.0088


@given(many_seconds, percents)
def test_a_quantile_is_within_its_error(values: list[float], percent: Fraction) -> None:
    """Of the value of that rank in the sorted list, from a microsecond to an hour."""
    rank = max(1, math.ceil(percent * len(values) / 100))
    exact = sorted(values)[rank - 1]

    assert exact == pytest.approx(_of(values).quantile(float(percent / 100)), rel=ERROR + 1e-12, abs=0)


@given(many_seconds)
def test_the_ends_are_exact(values: list[float]) -> None:
    """The largest and the smallest value, and no quantile beyond them; count, sum and mean as well."""
    histogram = _of(values)
    found = [histogram.quantile(percent / 100) for percent in range(101)]

    assert (min(values), max(values), max(values)) == (histogram.minimum, histogram.maximum, histogram.summary()["max"])
    assert sorted(found) == found
    assert min(values) <= found[0] <= found[-1] <= max(values)
    assert len(values) == histogram.count
    assert sum(values) / len(values) == pytest.approx(histogram.mean, abs=0)


@given(many_seconds, many_seconds, many_seconds)
def test_merged_is_recorded_together(one: list[float], two: list[float], three: list[float]) -> None:
    """Whatever the parts, the whole has the quantiles of all; the parts stay as they were."""
    parts = [_of(one), _of(two), _of(three)]
    before = [_facts(part) for part in parts]
    whole, together = Histogram.merged([*parts, None, Histogram()]), _of(one + two + three)

    assert together.sum == pytest.approx(whole.sum)
    assert {**together.summary(), "mean": 0} == {**whole.summary(), "mean": 0}
    assert _facts(together)[1:] == _facts(whole)[1:]
    assert before == [_facts(part) for part in parts]


def test_a_small_list_by_hand() -> None:
    """Ranks are rounded up: the median of four values is the second."""
    found = _of([0.1, 0.2, 0.4, 0.8]).summary()

    assert {"count": 4, "mean": 0.375, "p50": 0.2, "p90": 0.8, "p95": 0.8, "p99": 0.8, "max": 0.8} == pytest.approx(
        found, rel=0.01
    )
    assert (0.8, 0.375) == (found["max"], found["mean"])


@pytest.mark.parametrize("percent", range(1, 101))
def test_ranks_do_not_slip(percent: int) -> None:
    """0.07 * 100 is more than 7 for a computer, and the seventh of a hundred values is meant."""
    histogram = _of([2.0 ** (number / 4) / 1e5 for number in range(1, 101)])

    assert 2.0 ** (percent / 4) / 1e5 == pytest.approx(histogram.quantile(percent / 100), rel=0.01, abs=0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, 0.0),
        (1e-9, 1e-9),
        (7200.0, 7200.0),
        (LOWEST, LOWEST),
        (math.nextafter(LOWEST, 0.0), LOWEST),
        (HIGHEST, HIGHEST),
        (math.nextafter(HIGHEST, 0.0), HIGHEST),
    ],
)
def test_what_is_out_of_range_counts_at_the_end(value: float, expected: float) -> None:
    """A value alone is its own minimum and maximum, and so every quantile."""
    histogram = _of([value])

    assert (1, value) == (histogram.count, histogram.sum)
    assert [expected] * 2 == pytest.approx([histogram.quantile(0.0), histogram.quantile(1.0)], rel=1e-12, abs=0)


def test_what_is_out_of_range_keeps_its_place() -> None:
    """Before and after everything else; among themselves they are not told apart."""
    histogram = _of([1e-9, 1e-8, 0.5, 5000.0, 90000.0])

    assert [1e-6, 1e-6, 0.5, 4096.0, 4096.0] == pytest.approx(
        [histogram.quantile(rank / 5) for rank in range(1, 6)], rel=0.05
    )
    assert (1e-9, 90000.0) == (histogram.minimum, histogram.maximum)


def test_nothing_is_zero() -> None:
    """Before anything was recorded."""
    assert (NOTHING, 0.0) == (Histogram().summary(), Histogram().quantile(0.5))


@pytest.mark.parametrize("q", [-0.01, 1.01, 95, math.nan])
def test_a_quantile_is_a_share(q: float) -> None:
    """95 means 0.95, and the error says so."""
    with pytest.raises(ValueError, match=r"q must be from 0 to 1, not .*; the 95th percentile is 0\.95"):
        _of([1.0]).quantile(q)


@given(many_seconds)
def test_the_size_stays(values: list[float]) -> None:
    """10 KB from the start to the end, merged or not."""

    def size(histogram: Histogram) -> int:
        return sys.getsizeof(histogram) + sys.getsizeof(histogram._buckets)

    full = _of(values)
    empty = size(Histogram())
    full.merge(_of(values))

    assert empty == size(full)
    assert 10_000 < empty < 10_500
