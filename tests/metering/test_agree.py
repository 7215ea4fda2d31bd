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
from tests.metering.ledger_support import NOW, write

SAME = ("requests", "errors", "errors_by_class", "abandoned", "cache_hits", "input_tokens", "output_tokens",
        "cache_read_tokens", "cost_usd", "unpriced_requests")  # fmt: skip

failures = st.none() | st.sampled_from(["timeout", "rate_limit"])
counts = st.integers(0, 1000)
usages = st.none() | st.builds(Usage, counts, counts, st.none(), st.none() | counts)


@st.composite
def shares(draw: st.DrawFn) -> list[Share]:
    """One for each of some models at three providers, priced or not."""
    models = draw(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("mno")), unique=True, max_size=5))
    found = []
    for provider, model in models:
        usage = draw(usages)
        cost = draw(st.none() | st.decimals(0, 9, places=6)) if usage is not None else None
        found.append(Share(provider, model, draw(st.floats(0.01, 9)), usage, cost, draw(failures)))
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
        cost=total(part.cost for part in parts if part.usage is not None),
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
        groups = summarise(str(file), by).groups
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
