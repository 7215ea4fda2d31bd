"""What a request cost: by hand-computed cases, against genai-prices itself, and what happens where nothing is known."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from genai_prices.data_units import unit_data
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.metering import prices
from multi_llm_wrapper.metering.price_catalogue import Catalogue
from multi_llm_wrapper.metering.price_rates import user_rates
from multi_llm_wrapper.metering.prices import Prices
from multi_llm_wrapper.types import Usage
from tests.metering.golden_costs import CASES, FROZEN, NIGHT, NOON, TABLE, YEAR_BEFORE, Case

USAGE = Usage(1000, 100)


def _load() -> Catalogue:
    return Catalogue(FROZEN, unit_data)


def _loaded(table: Any = None, load: Callable[[], Catalogue] = _load) -> Prices:
    made = Prices(table, load=load)
    asyncio.run(made.ready())
    return made


LISTED = _loaded()
OVERRULED = _loaded(TABLE)


def _cost(case: Case) -> Decimal | None:
    return (OVERRULED if case.table else LISTED).cost(
        case.provider,
        case.model,
        case.usage,
        case.at,
        raw_usage=case.raw,
        tier=case.tier,
        response_model=case.response_model,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.provider}, {case.name}")
def test_golden_costs(case: Case) -> None:
    """The cost is what the arithmetic of the case says, to the last decimal."""
    sums, result = case.arithmetic.split(" = ")
    terms = [term.replace("*", "/").split("/") for term in sums.split(" + ")]

    assert Fraction(result) == sum(_term(*term) for term in terms), "the arithmetic itself is wrong"
    assert Decimal(result) == _cost(case)


def _term(first: str, price: str = "1", per: str = "1") -> Fraction:
    return Fraction(first) * Fraction(price) / Fraction(per)


def test_the_golden_cases_are_many_and_varied() -> None:
    """At least forty, over ten providers."""
    assert (True, True) == (len(CASES) >= 40, len({case.provider for case in CASES}) >= 10)


@pytest.mark.parametrize(
    "case",
    [
        Case("a model nobody lists", "openai", "gpt-unheard-of", USAGE, ""),
        Case("a host nobody lists", "ollama", "gpt-4o", USAGE, ""),
        Case("a host of one's own", "my-openai", "gpt-4o", USAGE, ""),
        Case("a model without any price", "openrouter", "openrouter/auto", USAGE, ""),
        Case("no output price, but output", "openai", "text-embedding-3-small", USAGE, ""),
        Case("a tier without a price", "openai", "gpt-4o", USAGE, "", tier="scale"),
        Case("a tier without a price then", "openai", "gpt-4o", USAGE, "", tier="priority", at=YEAR_BEFORE),
        Case("a tier in the usage object", "anthropic", "claude-opus-5", USAGE, "", raw={"service_tier": "priority"}),
        Case("a place that costs more", "anthropic", "claude-opus-5", USAGE, "", raw={"inference_geo": "us"}),
        Case("two at once", "anthropic", "claude-opus-5", USAGE, "", raw={"speed": "fast", "inference_geo": "us"}),
        Case("another seller's tier", "azure", "gpt-4o", USAGE, "", tier="priority"),
        Case("a bill to come", "openrouter", "nobody/knows", USAGE, "", raw={"cost": 0, "is_byok": True}),
        Case("another currency", "perplexity", "x", USAGE, "", raw={"cost": {"total_cost": 1, "currency": "EUR"}}),
        Case("no usage", "openai", "gpt-4o", None, ""),  # type: ignore[arg-type]  # on purpose
        Case("no input count", "openai", "gpt-4o", Usage(None, 100), ""),
        Case("no output count", "openai", "gpt-4o", Usage(1000, None), ""),
        Case("more cached than sent", "openai", "gpt-4o", Usage(1000, 100, 1100, 900, 101), ""),
        Case("more thoughts than output", "openai", "gpt-4o", Usage(1000, 100, reasoning_tokens=101), ""),
        Case(
            "more audio than input", "openai", "gpt-audio", USAGE, "", {"prompt_tokens_details": {"audio_tokens": 1001}}
        ),
        Case(
            "audio and a cache, but how much of both",
            "gemini",
            "gemini-2.5-flash",
            Usage(1000, 100, 1100, 300),
            "",
            raw={"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 600}]},
        ),
        Case("no word and no model", "openrouter", "x", USAGE, "", raw={"cost": "0.5"}),
        Case("a word that is no amount", "xai", "x", USAGE, "", raw={"cost_in_usd_ticks": float("nan")}),
    ],
    ids=lambda case: case.name,
)
def test_what_is_not_known_is_none(case: Case) -> None:
    """Never 0, and never the price of something else."""
    assert _cost(case) is None


@pytest.mark.parametrize(
    ("provider", "model", "cost"),
    [("openai", "gpt-4o", "0.0011"), ("openrouter", "openai/gpt-4o", "0.0035"), ("together", "qwen/q", "0.0022")],
)
def test_a_row_for_one_provider_is_not_for_another(provider: str, model: str, cost: str) -> None:
    """`openai/gpt-4o` is OpenAI's model, not the one that OpenRouter calls so; `qwen` is no provider."""
    made = _loaded({"openai/gpt-4o": {"input": 1, "output": 1}, "qwen/q": {"input": 2, "output": 2}})

    assert Decimal(cost) == made.cost(provider, model, USAGE, NOON)


def test_a_word_of_the_provider_needs_no_counts() -> None:
    """What a provider says it charged is the cost, whatever else it left out."""
    assert Decimal("0.25") == LISTED.cost("openrouter", "nobody/knows", None, NOON, raw_usage={"cost": 0.25})


def test_a_cache_that_shows_no_audio_had_none() -> None:
    """The list of what was cached by modality is there, so what it leaves out is 0."""
    raw = {
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 800}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
    }
    # 100*0.3/1e6 + 100*0.03/1e6 + 800*1/1e6
    assert Decimal("0.000833") == LISTED.cost(
        "gemini", "gemini-2.5-flash", Usage(1000, 0, 1000, 100), NOON, raw_usage=raw
    )


@pytest.mark.parametrize(
    "raw",
    [
        {"prompt_tokens_details": None, "cache_creation": 3, "server_tool_use": []},
        {"promptTokensDetails": {"AUDIO": "x"}, "service_tier": 7, "cost": {}},
        {"promptTokensDetails": ["AUDIO", {"modality": "AUDIO", "tokenCount": None}], "speed": {"a": 1}},
        {"prompt_tokens_details": {"audio_tokens": -5}, "completion_tokens_details": {"audio_tokens": True}},
    ],
)
def test_a_usage_object_of_another_shape_changes_nothing(raw: dict[str, Any]) -> None:
    """What cannot be read is as good as not there."""
    expected = LISTED.cost("openai", "gpt-audio", USAGE, NOON)

    assert expected is not None
    assert expected == LISTED.cost("openai", "gpt-audio", USAGE, NOON, raw_usage=raw)


def test_the_time_of_the_request_decides() -> None:
    """Day and night, asked in turns: what was looked up for one is not used for the other."""
    costs = [LISTED.cost("deepseek", "deepseek-chat", USAGE, at) for at in (NOON, NIGHT, NOON, NIGHT)]

    assert [Decimal("0.00038"), Decimal("0.00019")] * 2 == costs


def test_the_context_of_the_caller_does_not_round() -> None:
    """A program that computes with three digits still gets an exact cost."""
    with localcontext(prec=3):
        costs = _loaded({"m": {"input": "0.123456789", "output": 0}}).cost("x", "m", Usage(10**9 + 1, 0), NOON)

    assert Decimal("123.456789123456789") == costs


COUNTS = st.integers(0, 10**7)
DOLLARS = st.decimals(0, 1000, places=6)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.tuples(*[DOLLARS] * 7))
def test_each_token_is_billed_once(
    fresh: int, read: int, short: int, long: int, spoken: int, thought: int, rates: tuple[Decimal, ...]
) -> None:
    """Disjoint counts times their prices give the same as the inclusive counts that are reported."""
    names = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
    made = user_rates(dict(zip((*names, "request"), rates, strict=True)))
    usage = Usage(fresh + read + short + long, spoken + thought, None, read, short + long, thought)
    millionths = sum(
        Fraction(n) * Fraction(rate)
        for n, rate in zip((fresh, read, short, long, spoken, thought), rates, strict=False)
    )
    cost = made.cost(usage, {"cache_creation": {"ephemeral_1h_input_tokens": long}})

    assert cost is not None
    assert Fraction(cost) == millionths / 10**6 + Fraction(rates[-1])


# --- loading ----------------------------------------------------------------------------------------------------


class _Slow:
    """A load that waits to be let go, and counts."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.under_way = threading.Event()
        self.loads = 0

    def __call__(self) -> Catalogue:
        self.loads += 1
        self.under_way.set()
        assert self.go.wait(30)
        return _load()


@pytest.mark.asyncio
async def test_loading_holds_up_nobody() -> None:
    """The loop runs on, `cost` answers from the table and with None, and `ready` waits for the list."""
    load = _Slow()
    made = Prices({"mine": {"input": 1, "output": 1}}, load=load)
    made.start()
    made.start()
    waiting = asyncio.ensure_future(made.ready())
    await asyncio.sleep(0)
    before = (made.loaded, made.cost("openai", "gpt-4o", USAGE, NOON), made.cost("openai", "mine", USAGE, NOON))
    load.go.set()
    await waiting

    assert (False, None, Decimal("0.0011")) == before
    assert (True, Decimal("0.0035"), 1) == (made.loaded, made.cost("openai", "gpt-4o", USAGE, NOON), load.loads)


@pytest.mark.asyncio
async def test_ready_waits_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time since `start` is over, calls go on without a cost; the list still comes."""
    load = _Slow()
    with monkeypatch.context() as hurried:
        hurried.setattr(prices, "PATIENCE", 0.0)
        made = Prices(load=load)
        async with asyncio.timeout(1):
            await made.ready()
            await made.ready()
    early = made.loaded
    load.go.set()
    other = Prices(load=load)
    await other.ready()

    assert (False, True, 2) == (early, other.loaded, load.loads)


@pytest.mark.asyncio
async def test_a_cancelled_wait_does_not_stop_the_loading() -> None:
    """One caller gives up; the next one finds the list."""
    load = _Slow()
    made = Prices(load=load)
    waiting = asyncio.ensure_future(made.ready())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    load.go.set()
    await made.ready()

    assert (True, True, 1) == (waiting.cancelled(), made.loaded, load.loads)


def test_a_loop_may_end_while_the_list_is_loading() -> None:
    """The next loop, of the same wrapper, loads a list of its own."""
    slow = _Slow()
    made = Prices(load=lambda: slow() if slow.loads == 0 else _load())
    loop = asyncio.new_event_loop()
    loop.call_soon(made.start)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert slow.under_way.wait(30)
    asyncio.run(made.ready())
    slow.go.set()

    assert (True, Decimal("0.0035")) == (made.loaded, made.cost("openai", "gpt-4o", USAGE, NOON))


def test_an_executor_that_is_shut_down_leaves_costs_unknown() -> None:
    """A call at the very end of a program does not fail for want of a price."""
    made = Prices(load=_load)

    async def late() -> None:
        await asyncio.get_running_loop().run_in_executor(None, int)
        await asyncio.get_running_loop().shutdown_default_executor()
        await made.ready()

    asyncio.run(late())

    assert (False, None) == (made.loaded, made.cost("openai", "gpt-4o", USAGE, NOON))


def test_without_the_extra_costs_are_unknown(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said: the extra is a choice. The user's table and the provider's own word still count."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "genai_prices"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    made = Prices({"mine": {"input": 1, "output": 1}})
    asyncio.run(made.ready())
    known = made.cost("x", "mine", USAGE, NOON), made.cost("xai", "m", None, NOON, raw_usage={"cost_in_usd_ticks": 1})

    assert (True, None, []) == (made.loaded, made.cost("openai", "gpt-4o", USAGE, NOON), caplog.records)
    assert (Decimal("0.0011"), Decimal("0.0000000001")) == known


@pytest.mark.parametrize(
    "error", [ImportError("pydantic is too old"), ModuleNotFoundError(name="pydantic"), OSError(5)]
)
def test_a_broken_package_is_told_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """One warning with the reason, then costs are unknown."""

    def load() -> Catalogue:
        raise error

    made = _loaded(load=load)
    costs = [made.cost("openai", model, USAGE, NOON) for model in ("gpt-4o", "gpt-4o", "o3")]
    told = [(record.levelno, type(error).__name__ in record.getMessage()) for record in caplog.records]

    assert (True, [None] * 3, [(logging.WARNING, True)]) == (made.loaded, costs, told)


def test_prices_that_make_no_sense_fail_no_call(caplog: pytest.LogCaptureFixture) -> None:
    """One warning for the model, and its cost is unknown."""

    class Broken(Catalogue):
        def tariff(self, provider: str, names: tuple[str, ...], tier: str | None) -> Any:
            raise KeyError(provider, names, tier)

    made = _loaded(load=lambda: Broken(FROZEN, unit_data))
    costs = [made.cost("openai", "gpt-4o", USAGE, NOON) for _ in range(3)]

    assert ([None] * 3, 1) == (costs, len(caplog.records))


def test_rates_are_looked_up_once_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known or not; when there are too many, the oldest is looked up again."""
    monkeypatch.setattr(prices, "KEPT", 3)
    asked: list[str] = []

    class Counting(Catalogue):
        def tariff(self, provider: str, names: tuple[str, ...], tier: str | None) -> Any:
            asked.append(names[0])
            return super().tariff(provider, names, tier)

    made = _loaded(load=lambda: Counting(FROZEN, unit_data))
    for model in ("gpt-4o", "gpt-4o", "nope", "nope", "o3", "o3", "gpt-4o", "gpt-4o-mini", "gpt-4o", "o3"):
        made.cost("openai", model, USAGE, NOON)

    assert ["gpt-4o", "nope", "o3", "gpt-4o-mini", "gpt-4o"] == asked
    assert 3 == len(made._tariffs)


def test_a_bad_table_is_refused() -> None:
    """At once, with the field and the remedy."""
    with pytest.raises(ValueError, match=r"prices\['gpt-4o'\] has no 'output'; give dollars"):
        Prices({"gpt-4o": {"input": 1}})


def test_nothing_is_imported_before_it_is_needed() -> None:
    """Neither the package nor what it brings along."""
    code = (
        "import sys, multi_llm_wrapper.metering.prices as p; p.Prices({'m': {'input': 1, 'output': 1}}); "
        "print(sorted({'genai_prices', 'pydantic', 'httpx2', 'httpx'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == said.stdout
