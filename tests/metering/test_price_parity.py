"""Our cost and that of genai-prices' own calculation, over all models that are installed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TimeOfDateConstraint

from multi_llm_wrapper.metering import price_catalogue
from multi_llm_wrapper.metering.prices import Prices
from multi_llm_wrapper.types import Usage

PEAK = datetime(2026, 11, 20, 8, tzinfo=UTC)
NIGHT = datetime(2026, 11, 20, 20, tzinfo=UTC)
EARLIER = datetime(2025, 2, 1, 12, tzinfo=UTC)


class Pair(NamedTuple):
    """The same request in our counts (with the provider's own object) and in the package's."""

    ours: Usage
    raw: dict[str, Any]
    theirs: TheirUsage


def _pair(inside: int, outside: int, read: int, written: int, thought: int, raw: Any = None, **more: int) -> Pair:
    theirs = TheirUsage(
        input_tokens=inside,
        output_tokens=outside,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_reasoning_tokens=thought,
        **more,
    )
    return Pair(Usage(inside, outside, inside + outside, read, written, thought), raw or {}, theirs)


PAIRS = [
    _pair(1000, 200, 0, 0, 0),
    _pair(123_457, 8_191, 45_679, 23_457, 4_099),
    _pair(260_001, 100, 250_001, 0, 99),
    _pair(1_000_000, 65_536, 1, 1, 1),
    _pair(
        4_000,
        10,
        1_000,
        2_000,
        0,
        {"cache_creation": {"ephemeral_1h_input_tokens": 1_500}, "server_tool_use": {"web_search_requests": 3}},
        cache_write_1h_tokens=1_500,
        cache_write_5m_tokens=500,
        web_searches=3,
    ),
]

SPOKEN = _pair(
    2_000,
    900,
    300,
    0,
    100,
    {
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 250},
            {"modality": "AUDIO", "tokenCount": 1_000},
            {"modality": "IMAGE", "tokenCount": 500},
            {"modality": "VIDEO", "tokenCount": 250},
        ],
        "cacheTokensDetails": [
            {"modality": "TEXT", "tokenCount": 40},
            {"modality": "AUDIO", "tokenCount": 200},
            {"modality": "IMAGE", "tokenCount": 50},
            {"modality": "VIDEO", "tokenCount": 10},
        ],
        "candidatesTokensDetails": [
            {"modality": "AUDIO", "tokenCount": 400},
            {"modality": "IMAGE", "tokenCount": 100},
            {"modality": "VIDEO", "tokenCount": 50},
        ],
    },
    input_audio_tokens=1_000,
    input_image_tokens=500,
    input_video_tokens=250,
    cache_audio_read_tokens=200,
    cache_image_read_tokens=50,
    cache_video_read_tokens=10,
    output_audio_tokens=400,
    output_image_tokens=100,
    output_video_tokens=50,
)

ONLY_INPUT = _pair(123_457, 0, 45_679, 23_457, 0)
SNAPSHOT = get_snapshot()


@pytest.fixture
def everybody(monkeypatch: pytest.MonkeyPatch) -> Prices:
    """Prices that know every provider of the package by the package's name."""
    monkeypatch.setattr(price_catalogue, "HOSTS", {provider.id: provider.id for provider in SNAPSHOT.providers})
    made = Prices()
    asyncio.run(made.ready())
    return made


def _all() -> list[tuple[str, str, Any]]:
    """Provider, model name, and the model that the package finds under this name there."""
    named = [(provider, model.id.lower()) for provider in SNAPSHOT.providers for model in provider.models]
    found = [(one.id, name, one.find_model(name, all_providers=SNAPSHOT.providers)) for one, name in named]
    return [(provider, name, model) for provider, name, model in found if model is not None]


def _unpriced(model: Any, prices: ModelPrice, usage: Usage) -> bool:
    """Whether the package leaves out input or output because it has no price for it: a cost of nothing, unlike ours.

    Without any price a model is free for us only when its name says so.
    """
    if not vars(prices):
        return not (model.id.endswith(":free") or "(free)" in str(model.name))
    return bool(
        (prices.input_mtok is None and usage.input_tokens) or (prices.output_mtok is None and usage.output_tokens)
    )


def _compare(made: Prices, pair: Pair, when: datetime, models: list[tuple[str, str, Any]]) -> tuple[int, int]:
    """How many agreed, and how many have no cost with us; raises where a cost differs."""
    agreed = unknown = 0
    for provider, name, model in models:
        prices = model.get_prices(when)
        ours = made.cost(provider, name, pair.ours, when.timestamp(), raw_usage=pair.raw)
        if _unpriced(model, prices, pair.ours):
            assert (provider, name, None) == (provider, name, ours)
            unknown += 1
        else:
            assert (provider, name, prices.calc_price(pair.theirs)["total_price"]) == (provider, name, ours)
            agreed += 1
    return agreed, unknown


@pytest.mark.parametrize("pair", PAIRS, ids=["plain", "cached", "long", "longest", "1h and searches"])
def test_every_model_costs_what_the_package_says(pair: Pair, everybody: Prices) -> None:
    """Or has no cost, for the one reason that input or output has no price."""
    models = _all()
    agreed, unknown = _compare(everybody, pair, PEAK, models)

    assert (True, True) == (agreed > 1_500, unknown < len(models) / 5)


@pytest.mark.parametrize("when", [PEAK, NIGHT, EARLIER], ids=["peak", "night", "earlier"])
def test_prices_that_change_with_time_change_with_ours(when: datetime, everybody: Prices) -> None:
    """Dates since which a price holds, and hours of the day."""
    dated = [one for one in _all() if isinstance(one[2].prices, list)]

    assert _compare(everybody, PAIRS[1], when, dated)[0] > 100


def test_sound_and_pictures_cost_what_the_package_says(everybody: Prices) -> None:
    """For all models that have a price of their own for any of them."""
    media = ("audio_mtok", "image_mtok", "video_mtok")
    special = [one for one in _all() if any(key.endswith(media) for key in vars(one[2].get_prices(PEAK)))]

    assert _compare(everybody, SPOKEN, PEAK, special)[0] >= 20


def test_every_tier_costs_what_the_package_says(everybody: Prices) -> None:
    """Where the package has a price for it; elsewhere its cost is unknown, and not that of the standard tier."""
    own = {(provider.id, id(model)) for provider in SNAPSHOT.providers for model in provider.models}
    agreed = 0
    for provider, name, model in _all():
        for variant in (model.price_variants or ()) if (provider, id(model)) in own else ():
            ((field, word),) = variant.when.items()
            prices = model.get_prices(PEAK, {field: word})
            pair = ONLY_INPUT if prices.output_mtok is None else PAIRS[1]
            if _unpriced(model, prices, pair.ours) or not (
                variant.constraint is None or variant.constraint.active(PEAK)
            ):
                continue
            theirs = prices.calc_price(pair.theirs)["total_price"]
            ours = everybody.cost(provider, name, pair.ours, PEAK.timestamp(), raw_usage={"service_tier": word})
            assert (provider, name, word, theirs) == (provider, name, word, ours)
            agreed += 1
        assert everybody.cost(provider, name, PAIRS[0].ours, PEAK.timestamp(), tier="unheard-of") is None

    assert agreed > 150


def test_no_price_changes_within_a_minute() -> None:
    """What keeps the last price of a minute relies on it."""
    times = [
        moment
        for _, _, model in _all()
        if isinstance(model.prices, list)
        for one in model.prices
        if isinstance(one.constraint, TimeOfDateConstraint)
        for moment in (one.constraint.start_time, one.constraint.end_time)
    ]

    assert {(0, 0)} == {(moment.second, moment.microsecond) for moment in times}


def test_each_of_our_hosts_is_one_of_theirs() -> None:
    """The names of the package that ours stand for."""
    assert set() == set(price_catalogue.HOSTS.values()) - {provider.id for provider in SNAPSHOT.providers}


def test_free_models_cost_nothing_rather_than_an_unknown_amount(everybody: Prices) -> None:
    """The list has no prices for them, and says why in their names."""
    free = [
        (provider, name)
        for provider, name, model in _all()
        if name.endswith(":free") and not vars(model.get_prices(PEAK))
    ]
    costs = {everybody.cost(provider, name, PAIRS[0].ours, PEAK.timestamp()) for provider, name in free}

    assert ({Decimal(0)}, True) == (costs, len(free) > 10)
