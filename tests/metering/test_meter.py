"""What all calls were, by provider, model and tag."""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.metering.histogram import ERROR, HIGHEST
from multi_llm_wrapper.metering.meter import MAX_CELLS, MAX_NAME, OTHER, Meter
from multi_llm_wrapper.metering.record import NO_TAGS, Record, Share
from multi_llm_wrapper.types import Usage

ZERO: dict[str, Any] = {
    "requests": 0,
    "tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "reasoning_tokens": 0,
    "errors": 0,
    "errors_by_class": {},
    "retries": 0,
    "hedges": 0,
    "cache_hits": 0,
    "abandoned": 0,
    "cost_usd": 0.0,
    "unpriced_requests": 0,
}
GUIDE = (Path(__file__).parents[2] / "docs/metering.md").read_text(encoding="utf-8")
NO_TIMES = {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}


def _share(provider: str = "openai", model: str = "gpt-4o", seconds: float = 1.0, **more: Any) -> Share:
    return Share(provider, model, seconds, **more)


def _record(*shares: Share, status: str = "success", tags: Mapping[str, str] = NO_TAGS, **more: Any) -> Record:
    """A call of these shares; who answered is the last of them."""
    last = shares[-1] if shares else Share("openai", "gpt-4o", 1.0)
    facts: dict[str, Any] = {"response_time": last.seconds, "usage": last.usage, "cost": last.cost, **more}
    facts.setdefault("error_type", last.error_type if status == "error" else None)
    return Record(
        timestamp=0.0,
        status=status,
        asked=last.model,
        provider=last.provider,
        model=last.model,
        shares=list(shares),
        tags=tags,
        **facts,
    )


def _recorded(*records: Record) -> Meter:
    meter = Meter()
    for record in records:
        meter.record(record)
    return meter


# --- what a call counts -----------------------------------------------------------------------------------------


def test_every_configured_provider_is_there() -> None:
    """Also one that was never asked; one that was asked is there without being configured."""
    meter = _recorded(_record(_share("groq")))

    assert {"openai": ZERO, "groq": {**ZERO, "requests": 1}} == meter.stats(["openai"])
    assert ["openai", "gemini", "groq"] == list(meter.stats(["openai", "gemini"]))


def test_a_success_counts_what_was_reported() -> None:
    """Tokens of every kind, and their price."""
    usage = Usage(30, 20, 51, 10, 5, 7)
    meter = _recorded(_record(_share(usage=usage, cost=Decimal("0.25"))), _record(_share(usage=Usage(1, 1, 2))))

    assert {
        **ZERO,
        "requests": 2,
        "tokens": 53,
        "input_tokens": 31,
        "output_tokens": 21,
        "cache_read_tokens": 10,
        "cache_write_tokens": 5,
        "reasoning_tokens": 7,
        "cost_usd": 0.25,
        "unpriced_requests": 1,
    } == meter.stats()["openai"]


@pytest.mark.parametrize(
    ("usage", "tokens", "inside", "outside"),
    [
        (Usage(), 0, 0, 0),
        (Usage(3, 2), 5, 3, 2),
        (Usage(None, 2), 2, 0, 2),
        (Usage(3, 2, 0), 0, 3, 2),
        (Usage(None, None, 7), 7, 0, 0),
    ],
)
def test_what_was_not_reported_adds_nothing(usage: Usage, tokens: int, inside: int, outside: int) -> None:
    """A total that was not reported is the sum of what was."""
    expected = {**ZERO, "requests": 1, "tokens": tokens, "input_tokens": inside, "output_tokens": outside}

    assert {**expected, "unpriced_requests": 1} == _recorded(_record(_share(usage=usage))).stats()["openai"]


def test_without_usage_there_is_nothing_to_price() -> None:
    """Unpriced are tokens without a price, not requests without tokens."""
    assert {**ZERO, "requests": 1} == _recorded(_record(_share())).stats()["openai"]


def test_a_failure_counts_as_request_and_error_of_its_class() -> None:
    """With what a stream had reported before it failed."""
    meter = _recorded(
        _record(_share(error_type="incomplete_stream", usage=Usage(3, 2), cost=Decimal(1)), status="error"),
        _record(_share(error_type="timeout"), status="error"),
        _record(_share(error_type="timeout"), status="error"),
    )

    assert {
        **ZERO,
        "requests": 3,
        "tokens": 5,
        "input_tokens": 3,
        "output_tokens": 2,
        "errors": 3,
        "errors_by_class": {"incomplete_stream": 1, "timeout": 2},
        "cost_usd": 1.0,
    } == meter.stats()["openai"]


def test_retries_and_hedges_are_added_up() -> None:
    """Over all calls of a provider, each of which is one request however often it was sent."""
    shares = [_share(attempts=3, retries=2), _share(attempts=2, hedges=1), _share(attempts=4, hedges=1, retries=2)]
    found = _recorded(*(_record(share) for share in shares)).stats()["openai"]

    assert {**ZERO, "requests": 3, "retries": 4, "hedges": 2} == found


def test_a_fallback_counts_for_both() -> None:
    """One request for each provider asked, an error for the one that failed."""
    meter = _recorded(
        _record(
            _share("openai", error_type="overloaded", attempts=3, retries=2),
            _share("groq", "llama", usage=Usage(1, 2, 3)),
        )
    )

    assert {
        "openai": {**ZERO, "requests": 1, "errors": 1, "errors_by_class": {"overloaded": 1}, "retries": 2},
        "groq": {
            **ZERO,
            "requests": 1,
            "tokens": 3,
            "input_tokens": 1,
            "output_tokens": 2,
            "unpriced_requests": 1,
        },
    } == meter.stats()


def test_an_abandoned_call_is_no_error() -> None:
    """It counts with what was reported; a provider that had failed before was not the abandoned one."""
    meter = _recorded(
        _record(_share("groq", error_type="timeout"), _share(usage=Usage(3, 2), cost=Decimal(2)), status="abandoned")
    )

    assert {
        "groq": {**ZERO, "requests": 1, "errors": 1, "errors_by_class": {"timeout": 1}},
        "openai": {
            **ZERO,
            "requests": 1,
            "tokens": 5,
            "input_tokens": 3,
            "output_tokens": 2,
            "abandoned": 1,
            "cost_usd": 2.0,
        },
    } == meter.stats()


def test_a_hit_counts_as_a_hit_and_nothing_else() -> None:
    """No request, no tokens, no cost, no time, whatever its record says of the answer."""
    meter = _recorded(_record(_share(usage=Usage(3, 2, 5))))
    before, times = meter.stats()["openai"], meter.response_times("openai")
    meter.record(_record(_share(usage=Usage(3, 2, 5), cost=Decimal(1)), cached=True))
    meter.record(_record(cached=True))

    assert ({**before, "cache_hits": 2}, times) == (meter.stats()["openai"], meter.response_times("openai"))


def test_a_hit_of_nobody_known_is_counted() -> None:
    """Rather than lost, or an error."""
    nobody = Record(0.0, "success", None, None, None, 0.0, [], cached=True)

    assert {"": {**ZERO, "cache_hits": 1}} == _recorded(nobody).stats()


def test_what_was_refused_unsent_counts_nothing() -> None:
    """No share, no request, no error; not for its tags either."""
    meter = _recorded(_record(status="error", error_type="validation_error", tags={"team": "search"}))

    assert ({"openai": ZERO}, {}, {}) == (meter.stats(["openai"]), meter.stats(by="model"), meter.stats(by="tag"))


def test_prices_add_up_exactly() -> None:
    """Whatever precision the program has set for its own decimals; floats would end at 0.9999999999999999."""
    meter = Meter()
    with decimal.localcontext(decimal.Context(prec=1, traps=[decimal.Inexact])):
        for _ in range(8):
            meter.record(_record(_share(usage=Usage(), cost=Decimal("0.1"))))
        meter.record(_record(_share(model="mini", usage=Usage(), cost=Decimal("0.200000000000000000000001"))))
        found = meter.stats()["openai"]["cost_usd"]

    assert 1.0 == found


# --- by model, by tag -------------------------------------------------------------------------------------------


def test_a_provider_is_the_sum_of_its_models() -> None:
    """Counters, classes of errors and cost."""
    meter = _recorded(
        _record(_share(model="a", usage=Usage(1, 1), cost=Decimal("0.1"), attempts=3, hedges=1, retries=1)),
        _record(_share(model="a", error_type="timeout"), status="error"),
        _record(_share(model="b", usage=Usage(2, 2), cost=Decimal("0.2"), error_type="timeout"), status="error"),
        _record(_share("groq", "a")),
    )
    spent = {**ZERO, "retries": 1, "hedges": 1}

    assert {
        "openai/a": {
            **spent,
            "requests": 2,
            "tokens": 2,
            "input_tokens": 1,
            "output_tokens": 1,
            "errors": 1,
            "errors_by_class": {"timeout": 1},
            "cost_usd": 0.1,
        },
        "openai/b": {
            **ZERO,
            "requests": 1,
            "tokens": 4,
            "input_tokens": 2,
            "output_tokens": 2,
            "errors": 1,
            "errors_by_class": {"timeout": 1},
            "cost_usd": 0.2,
        },
        "groq/a": {**ZERO, "requests": 1},
    } == meter.stats(["gemini"], by="model")
    assert {
        **spent,
        "requests": 3,
        "tokens": 6,
        "input_tokens": 3,
        "output_tokens": 3,
        "errors": 2,
        "errors_by_class": {"timeout": 2},
        "cost_usd": 0.3,
    } == meter.stats()["openai"]


def test_a_tag_counts_the_call_once() -> None:
    """However many providers were asked: with the sums of the call, as an error only if the call was one."""
    tags = {"team": "search", "env": "prod"}
    shares = (_share("groq", error_type="timeout", attempts=2, retries=1), _share(attempts=2, hedges=1))
    paid = (shares[0], _share(attempts=2, hedges=1, usage=Usage(5, 5, 10), cost=Decimal("0.5")))
    meter = _recorded(
        _record(*paid, tags=tags),
        _record(*shares, tags={"team": "search"}, status="error", error_type="overloaded"),
        _record(_share(), tags={"team": "search"}, status="abandoned", error_type="incomplete_stream"),
        _record(tags={"team": "search"}, cached=True),
        _record(_share()),
    )
    prod = {
        **ZERO,
        "requests": 1,
        "tokens": 10,
        "input_tokens": 5,
        "output_tokens": 5,
        "retries": 1,
        "hedges": 1,
        "cost_usd": 0.5,
    }
    search = {"errors": 1, "errors_by_class": {"overloaded": 1}, "cache_hits": 1, "abandoned": 1}

    assert {
        "team=search": {**prod, **search, "requests": 3, "retries": 2, "hedges": 2},
        "env=prod": prod,
    } == meter.stats(by="tag")


def test_another_by_is_refused() -> None:
    """With what it may be."""
    with pytest.raises(ValueError, match='by must be "provider", "model" or "tag", not \'day\''):
        Meter().stats(by="day")


def test_stats_are_a_snapshot() -> None:
    """Changing what was given changes no count."""
    meter = _recorded(_record(_share(error_type="timeout"), status="error", tags={"a": "b"}))
    for by in ("provider", "model", "tag"):
        (found,) = meter.stats(by=by).values()
        found["requests"] = 99
        found["errors_by_class"]["timeout"] = 99
        (again,) = meter.stats(by=by).values()

        assert (1, {"timeout": 1}) == (again["requests"], again["errors_by_class"])


# --- bounds -----------------------------------------------------------------------------------------------------


def test_models_beyond_the_bound_share_a_cell() -> None:
    """That of their provider; known ones go on in their own, and no request is lost."""
    meter = Meter()
    for number in range(MAX_CELLS + 20):
        meter.record(_record(_share(model=f"model-{number}")))
    meter.record(_record(_share("groq", "new")))
    meter.record(_record(_share(model="model-7")))
    meter.record(_record(_share(model="model-7"), cached=True))
    found = meter.stats(by="model")

    assert (MAX_CELLS + 2, 2, 1, 20, 1) == (
        len(found),
        found["openai/model-7"]["requests"],
        found["openai/model-7"]["cache_hits"],
        found[f"openai/{OTHER}"]["requests"],
        found[f"groq/{OTHER}"]["requests"],
    )
    assert (MAX_CELLS + 21, 1) == tuple(one["requests"] for one in meter.stats().values())


def test_tags_beyond_the_bound_share_a_cell() -> None:
    """A tag of a value for each user fills no memory."""
    meter = Meter()
    for number in range(MAX_CELLS + 20):
        meter.record(_record(_share(), tags={"user": str(number)}))
    meter.record(_record(tags={"user": "new"}, cached=True))
    meter.record(_record(_share(), tags={"user": "7"}))
    found = meter.stats(by="tag")

    assert (MAX_CELLS + 1, 2) == (len(found), found["user=7"]["requests"])
    assert {**ZERO, "requests": 20, "cache_hits": 1} == found[OTHER]


def test_a_name_too_long_has_no_cell_of_its_own() -> None:
    """Nor does a tag."""
    long = "x" * (MAX_NAME + 1)
    meter = _recorded(_record(_share(model=long), tags={"a": long}), _record(_share(model=long[1:])))

    assert [f"openai/{OTHER}", f"openai/{long[1:]}"] == list(meter.stats(by="model"))
    assert [OTHER] == list(meter.stats(by="tag"))


# --- times ------------------------------------------------------------------------------------------------------


def test_the_average_is_over_all_requests() -> None:
    """Successes and failures alike, of all models; 0.0 where there were none."""
    meter = _recorded(
        _record(_share(seconds=1.0)),
        _record(_share(model="mini", seconds=2.0, error_type="timeout"), status="error"),
        _record(_share("groq", seconds=9.0)),
        _record(_share("gemini"), cached=True),
    )

    assert [1.5, 9.0, 0.0, 0.0] == [meter.average_seconds(name) for name in ("openai", "groq", "gemini", "mistral")]


def test_response_times_are_of_all_models_of_the_provider() -> None:
    """The share's own seconds, failed and abandoned ones too; a hit took none."""
    meter = _recorded(
        _record(_share(seconds=1.0)),
        _record(_share(model="mini", seconds=2.0), status="abandoned"),
        _record(
            _share("groq", seconds=0.5, error_type="timeout"), _share(model="mini", seconds=4.0), response_time=9.0
        ),
        _record(_share(seconds=8.0), cached=True),
    )
    found = meter.response_times("openai")

    assert {"count": 3, "mean": 7 / 3, "p50": 2.0, "p90": 4.0, "p95": 4.0, "p99": 4.0, "max": 4.0} == pytest.approx(
        {name: found[name] for name in NO_TIMES}, rel=0.01
    )
    assert (4.0, 7 / 3) == (found["max"], found["mean"])
    assert (1, 0.5) == (meter.response_times("groq")["count"], meter.response_times("groq")["max"])


def test_where_there_is_nothing_times_are_zero() -> None:
    """Of a provider that was not asked, and of streams where there were none."""
    nothing = {**NO_TIMES, "time_to_first_token": NO_TIMES, "time_per_output_token": NO_TIMES}

    assert nothing == _recorded(_record(cached=True)).response_times("openai") == Meter().response_times("gemini")
    assert [NO_TIMES] * 2 == list(_recorded(_record(_share())).response_times("openai").values())[-2:]


def test_a_stream_has_the_times_of_its_tokens() -> None:
    """The time to the first one, and that for each of the others where it is known."""
    meter = _recorded(
        _record(_share(seconds=2.5, first_token=0.5, per_token=0.5), streamed=True),
        _record(_share(seconds=1.125, first_token=0.5, per_token=0.625), streamed=True),
        _record(_share(model="mini", seconds=1.0, first_token=0.75), streamed=True),
        _record(_share(model="mini", seconds=1.0, first_token=0.25, per_token=0.75), status="abandoned"),
    )
    found = meter.response_times("openai")

    assert (4, 0.5, 0.75) == tuple(found["time_to_first_token"][name] for name in ("count", "mean", "max"))
    assert (3, 0.625, 0.75) == tuple(found["time_per_output_token"][name] for name in ("count", "mean", "max"))


# --- the guide --------------------------------------------------------------------------------------------------


def test_the_guide_names_every_key() -> None:
    """In the table of what is counted, and among the times."""
    rows = re.findall(r"^\| (`.*?) \|", GUIDE.partition("## What is counted")[2].partition("\n- ")[0], re.MULTILINE)

    assert set(ZERO) == {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert all(f"`{name}`" in GUIDE for name in Meter().response_times("openai"))


def test_the_guide_has_the_bounds_of_the_code() -> None:
    """How many names, and how long; how far off a percentile may be."""
    guide = " ".join(GUIDE.split())

    assert f"{MAX_CELLS:,} models and {MAX_CELLS:,} tags" in guide
    assert f"longer than {MAX_NAME} characters" in guide
    assert f"at most {math.ceil(ERROR * 1000) / 10} % off" in guide
    assert f"to {HIGHEST / 60:.0f} minutes" in guide


# --- all of it --------------------------------------------------------------------------------------------------

counted = st.none() | st.integers(0, 100)
drawn = st.builds(
    Share,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["small", "large"]),
    st.sampled_from([0.25, 0.5, 2.0]),
    st.none() | st.builds(Usage, counted, counted, counted),
    st.none() | st.decimals(0, 1, places=6),
    st.sampled_from([None, "timeout", "overloaded"]),
    retries=st.integers(0, 3),
)


@given(st.lists(drawn, max_size=20))
def test_counts_are_sums(shares: list[Share]) -> None:
    """Each number is the sum over the shares of its provider."""
    meter = _recorded(*(_record(share, status="error" if share.error_type else "success") for share in shares))

    for name in ("a", "b"):
        own = [share for share in shares if share.provider == name]
        used = [share.usage for share in own if share.usage is not None]
        found, times = meter.stats(["a", "b"])[name], meter.response_times(name)

        assert (len(own), sum(share.retries for share in own)) == (found["requests"], found["retries"])
        assert sum(share.error_type is not None for share in own) == found["errors"]
        assert found["errors"] == sum(found["errors_by_class"].values())
        assert sum(usage.input_tokens or 0 for usage in used) == found["input_tokens"]
        assert sum(usage.output_tokens or 0 for usage in used) == found["output_tokens"]
        assert float(sum(share.cost or 0 for share in own if share.usage is not None)) == found["cost_usd"]
        assert sum(share.usage is not None and share.cost is None for share in own) == found["unpriced_requests"]
        assert (sum(share.seconds for share in own) / (len(own) or 1)) == meter.average_seconds(name) == times["mean"]
        assert (len(own), max((share.seconds for share in own), default=0.0)) == (times["count"], times["max"])
