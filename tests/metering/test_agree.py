"""The totals of a program and the sums over its ledger say the same of the same calls."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multi_llm_wrapper.metering.ledger.summary import Sums, summarise
from multi_llm_wrapper.metering.meter import Meter
from multi_llm_wrapper.metering.record import Record, Share, total, used
from multi_llm_wrapper.types import Usage
from tests.metering.ledger_support import NOW, select, write

SAME = ("requests", "errors", "errors_by_class", "abandoned", "cache_hits", "input_tokens", "output_tokens",
        "cache_read_tokens", "cost_usd", "unpriced_requests")  # fmt: skip

failures = st.none() | st.sampled_from(["timeout", "rate_limit"])
counts = st.integers(0, 1000)
usages = st.none() | st.builds(Usage, counts, counts, st.none(), st.none() | counts)


@st.composite
def shares(draw: st.DrawFn) -> list[Share]:
    """One for each of some models at three providers, priced or not, or in part."""
    models = draw(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("mno")), unique=True, max_size=5))
    found = []
    for provider, model in models:
        usage = draw(usages)
        cost = draw(st.none() | st.decimals(0, 9, places=6)) if usage is not None else None
        partly = cost is not None and draw(st.booleans())
        seconds, failure = draw(st.floats(0.01, 9)), draw(failures)
        found.append(Share(provider, model, seconds, usage, cost, failure, partly_priced=partly))
    return found


@st.composite
def records(draw: st.DrawFn) -> Record:
    parts = draw(shares())
    last = parts[-1] if parts else Share("a", "m", 1.0)
    status = draw(st.sampled_from(["success", "abandoned"])) if last.error_type is None else "error"
    return Record(
        NOW,
        status,
        "fast",
        last.provider,
        last.model,
        draw(st.floats(0.01, 60)) if len(parts) != 1 else last.seconds,
        parts,
        {"team": draw(st.sampled_from("xy"))},
        cached=not parts and draw(st.booleans()),
        usage=used(part.usage for part in parts),
        cost=None if any(part.unpriced for part in parts) else total(part.cost for part in parts),
        error_type=last.error_type if status == "error" else None,
        attempts=len(parts),
    )


def said(sums: Sums) -> dict[str, Any]:
    own = {"cost_usd": float(sums.cost), "unpriced_requests": sums.unpriced}
    return {name: own[name] if name in own else getattr(sums, name) for name in SAME}


@settings(max_examples=60)
@given(st.lists(records(), min_size=1, max_size=8))
@pytest.mark.parametrize("by", ["provider", "model", "tag"])
def test_totals_and_ledger_agree(by: str, calls: list[Record]) -> None:
    """Whatever was asked of whom; also where a call asked several models of one provider."""
    meter = Meter()
    for call in calls:
        meter.record(call)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "usage.db"
        write(file, calls)
        groups, whole = summarise(str(file), by)[1:3]
    known = [share.cost for call in calls for share in call.shares if share.cost is not None]
    assert (sum(known), sum(any(share.unpriced for share in call.shares) for call in calls)) == (
        whole.cost, whole.unpriced,
    )  # fmt: skip
    groups = {name: sums for name, sums in groups.items() if sums.requests or sums.cache_hits}

    totals = meter.stats(by=by)
    assert {name: {key: stats[key] for key in SAME} for name, stats in totals.items()} == {
        name: said(sums) for name, sums in groups.items()
    }
    if by == "provider":
        assert {name: meter.response_times(name)["p90"] for name in groups} == {
            name: sums.times.summary()["p90"] for name, sums in groups.items()
        }


def test_two_models_of_one_provider_are_one_request_there() -> None:
    """And one at each of them, with what that one reported and how it ended."""
    first = Share("a", "m", 1.0, Usage(3, 2), Decimal("0.1"), "timeout")
    second = Share("a", "n", 2.0, Usage(30, 20), Decimal("0.2"))
    meter = Meter()
    meter.record(Record(NOW, "success", "fast", "a", "n", 3.5, [first, second]))

    at, of = meter.stats()["a"], meter.stats(by="model")
    assert (1, 0, 33, 0.3) == (at["requests"], at["errors"], at["input_tokens"], at["cost_usd"])
    assert {"a/m": (1, {"timeout": 1}, 3, 0.1), "a/n": (1, {}, 30, 0.2)} == {
        name: (one["requests"], one["errors_by_class"], one["input_tokens"], one["cost_usd"])
        for name, one in of.items()
    }
    assert (1, 3.5) == (meter.response_times("a")["count"], meter.average_seconds("a"))


def test_what_is_known_of_a_call_is_in_every_sum() -> None:
    """By model, by provider, by tag and in all: a model without a price takes nothing from another one that has one."""
    known, unknown = Share("a", "m", 1.0, Usage(3, 2), Decimal("0.1")), Share("a", "n", 2.0, Usage(30, 20))
    half = Share("b", "o", 1.0, Usage(5, 5), Decimal("0.03"), attempts=2, partly_priced=True)
    call = Record(
        NOW, "success", "fast", "b", "o", 4.0, [known, unknown, half], {"team": "x"}, usage=Usage(38, 27), attempts=4
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "usage.db"
        write(file, [call])
        found = {by: summarise(str(file), by) for by in ("model", "provider", "tag", "day")}

    def money(by: str) -> dict[str, tuple[str, int]]:
        return {name: (str(sums.cost), sums.unpriced) for name, sums in found[by].groups.items()}

    assert {"a/m": ("0.1", 0), "b/o": ("0.03", 1), "a/n": ("0", 1)} == money("model")
    assert {"a": ("0.1", 1), "b": ("0.03", 1)} == money("provider")
    assert {"team=x": ("0.13", 1)} == money("tag")
    assert {"2027-01-15": ("0.13", 1)} == money("day")
    assert {("0.13", 1)} == {(str(each.total.cost), each.total.unpriced) for each in found.values()}


def test_one_model_of_which_a_part_has_a_price() -> None:
    """An attempt had one, another had none: the row itself has no cost, the sums have the part that is known."""
    half = Share("a", "m", 1.0, Usage(5, 5), Decimal("0.03"), attempts=2, partly_priced=True)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "usage.db"
        write(file, [Record(NOW, "success", "fast", "a", "m", 1.0, [half], usage=Usage(5, 5), attempts=2)])
        assert [None] == select(file, "SELECT cost_usd FROM calls")
        found = [summarise(str(file), by) for by in ("model", "provider", "tag", "hour")]
    sums = [each for summary in found for each in (summary.total, *summary.groups.values())]
    assert [(Decimal("0.03"), 1, 1)] * 8 == [(each.cost, each.unpriced, each.requests) for each in sums]
