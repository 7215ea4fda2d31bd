"""Costs computed by hand, over a small price list that is frozen here so that no upgrade of genai-prices changes it.

Each case shows its arithmetic: counts times dollars per million (`/1e6`) or per thousand (`/1e3`), and what they add up
to. Uncached input is written as the sum it is, so that a token billed twice would be seen.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from multi_llm_wrapper.types import Usage

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()
NIGHT = datetime(2026, 11, 1, 20, tzinfo=UTC).timestamp()
YEAR_BEFORE = datetime(2025, 1, 1, 12, tzinfo=UTC).timestamp()


def _prices(**dollars: str | tuple[str, int, str]) -> ModelPrice:
    """Dollars as text; a tuple is a base price, the tokens above which another one holds, and that one."""
    return ModelPrice(**{key: _one(value) for key, value in dollars.items()})


def _one(value: str | tuple[str, int, str]) -> Any:
    if isinstance(value, str):
        return Decimal(value)
    base, start, above = value
    return TieredPrices(base=Decimal(base), tiers=[Tier(start=start, price=Decimal(above))])


def _model(name: str, prices: Any, *variants: PriceVariant, prefix: bool = False, also: str = "") -> ModelInfo:
    clauses: list[Any] = [ClauseStartsWith(name) if prefix else ClauseEquals(name)]
    clauses += [ClauseEquals(also)] if also else []
    return ModelInfo(id=name, match=ClauseOr(clauses), prices=prices, price_variants=list(variants) or None)


def _tier(field: str, word: str, prices: ModelPrice, since: date | None = None) -> PriceVariant:
    return PriceVariant({field: word}, prices, None if since is None else StartDateConstraint(since))


def _provider(name: str, *models: ModelInfo, fallback: list[str] | None = None) -> Provider:
    return Provider(id=name, name=name, api_pattern=name, models=list(models), fallback_model_providers=fallback)


_GPT_4O = _model(
    "gpt-4o",
    _prices(input_mtok="2.5", cache_read_mtok="1.25", output_mtok="10", web_searches_kcount="10"),
    _tier("service_tier", "default", ModelPrice()),
    _tier("service_tier", "priority", _prices(input_mtok="4.25", output_mtok="17"), date(2026, 10, 12)),
    also="gpt-4o-2024-08-06",
)
_O3 = _model(
    "o3",
    [
        ConditionalPrice(None, prices=_prices(input_mtok="10", cache_read_mtok="0.5", output_mtok="40")),
        ConditionalPrice(
            StartDateConstraint(date(2025, 6, 10)),
            prices=_prices(input_mtok="2", cache_read_mtok="0.5", output_mtok="8"),
        ),
    ],
    _tier("service_tier", "flex", _prices(input_mtok="1", cache_read_mtok="0.25", output_mtok="4")),
)
_SONNET = _model(
    "claude-sonnet-4-5",
    _prices(
        input_mtok=("3", 200_000, "6"),
        cache_write_mtok=("3.75", 200_000, "7.5"),
        cache_write_1h_mtok=("6", 200_000, "12"),
        cache_read_mtok=("0.3", 200_000, "0.6"),
        output_mtok=("15", 200_000, "22.5"),
        web_searches_kcount="10",
    ),
    prefix=True,
)
_OPUS = _model(
    "claude-opus-5",
    _prices(input_mtok="5", cache_write_mtok="6.25", cache_read_mtok="0.5", output_mtok="25", cache_write_1h_mtok="10"),
    _tier("speed", "fast", _prices(input_mtok="10", cache_write_mtok="12.5", cache_read_mtok="1", output_mtok="50")),
    prefix=True,
)
_GEMINI_PRO = _model(
    "gemini-2.5-pro",
    _prices(
        input_mtok=("1.25", 200_000, "2.5"),
        cache_read_mtok=("0.125", 200_000, "0.25"),
        output_mtok=("10", 200_000, "15"),
    ),
    prefix=True,
)
_GEMINI_FLASH = _model(
    "gemini-2.5-flash",
    _prices(
        input_mtok="0.3",
        cache_read_mtok="0.03",
        output_mtok="2.5",
        input_audio_mtok="1",
        cache_audio_read_mtok="0.1",
    ),
)
_DEEPSEEK = _model(
    "deepseek-chat",
    [
        ConditionalPrice(None, prices=_prices(input_mtok="0.135", cache_read_mtok="0.035", output_mtok="0.55")),
        ConditionalPrice(
            TimeOfDateConstraint(time(0, 30, tzinfo=UTC), time(16, 30, tzinfo=UTC)),
            prices=_prices(input_mtok="0.27", cache_read_mtok="0.07", output_mtok="1.1"),
        ),
    ],
    prefix=True,
)

FROZEN = DataSnapshot(
    providers=[
        _provider(
            "openai",
            _GPT_4O,
            _O3,
            _model("gpt-4o-mini", _prices(input_mtok="0.15", cache_read_mtok="0.075", output_mtok="0.6")),
            _model(
                "gpt-audio",
                _prices(input_mtok="2.5", output_mtok="10", input_audio_mtok="32", output_audio_mtok="64"),
            ),
            _model("text-embedding-3-small", _prices(input_mtok="0.02")),
        ),
        _provider("anthropic", _SONNET, _OPUS),
        _provider(
            "google",
            _GEMINI_PRO,
            _GEMINI_FLASH,
            _model("gemini-2.5-flash-image", _prices(input_mtok="0.3", output_mtok="2.5", output_image_mtok="30")),
            fallback=["anthropic"],
        ),
        _provider(
            "groq",
            _model("openai/gpt-oss-120b", _prices(input_mtok="0.15", cache_read_mtok="0.075", output_mtok="0.6")),
            _model("llama-3.3-70b-versatile", _prices(input_mtok="0.59", output_mtok="0.79")),
        ),
        _provider("mistral", _model("mistral-large-latest", _prices(input_mtok="2", output_mtok="6"))),
        _provider("deepseek", _DEEPSEEK),
        _provider("x-ai", _model("grok-4", _prices(input_mtok="3", cache_read_mtok="0.75", output_mtok="15"))),
        _provider(
            "openrouter",
            _model("openai/gpt-4o", _prices(input_mtok="2.5", output_mtok="10")),
            _model("z-ai/glm-4.5-air:free", ModelPrice()),
            _model("stealth/owl", _prices(input_mtok="0", output_mtok="0")),
            _model("openrouter/auto", ModelPrice()),
        ),
        _provider("azure", _model("gpt-unlisted", ModelPrice()), fallback=["openai"]),
        _provider(
            "perplexity",
            _model("sonar", _prices(input_mtok="1", output_mtok="1", requests_kcount="12")),
            _model(
                "sonar-deep-research",
                _prices(
                    input_mtok="2",
                    output_mtok="8",
                    output_reasoning_mtok="3",
                    output_citation_mtok="2",
                    web_searches_kcount="5",
                ),
            ),
        ),
        _provider("together", _model("deepseek-ai/DeepSeek-V3", _prices(input_mtok="1.25", output_mtok="1.25"))),
        _provider("cerebras", _model("gpt-oss-120b", _prices(input_mtok="0.35", output_mtok="0.75"))),
    ],
    from_auto_update=False,
)

TABLE: dict[str, dict[str, object]] = {
    "house-model": {"input": "0.1", "output": 0.2},
    "openai/gpt-4o": {"input": 2, "output": 8, "cache_read": Decimal("0.5")},
    "acme/full": {
        "input": 1,
        "output": 4,
        "cache_read": "0.1",
        "cache_write": "1.25",
        "cache_write_1h": 2,
        "reasoning": 3,
        "request": "0.005",
    },
    "openrouter/openai/gpt-4o": {"input": 3, "output": 12},
}


class Case(NamedTuple):
    name: str
    provider: str
    model: str
    usage: Usage
    arithmetic: str
    raw: dict[str, Any] | None = None
    at: float = NOON
    tier: str | None = None
    response_model: str | None = None
    table: bool = False


def _use(
    inside: int, outside: int, read: int | None = None, written: int | None = None, thought: int | None = None
) -> Usage:
    return Usage(inside, outside, inside + outside, read, written, thought)


def _cached_1h(tokens: int) -> dict[str, Any]:
    return {"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": tokens}}


def _modality(word: str, tokens: int) -> list[dict[str, Any]]:
    return [{"modality": "TEXT", "tokenCount": 7}, {"modality": word, "tokenCount": tokens}]


_SONNET_DATED = "claude-sonnet-4-5-20250929"

CASES = [
    # OpenAI: inclusive counts; cached input at half price, reasoning as output.
    Case("plain", "openai", "gpt-4o", _use(1000, 200), "1000*2.5/1e6 + 200*10/1e6 = 0.0045"),
    Case("dated name", "openai", "gpt-4o-2024-08-06", _use(1, 1), "1*2.5/1e6 + 1*10/1e6 = 0.0000125"),
    Case("compact date", "openai", "gpt-4o-20240806", _use(1, 1), "1*2.5/1e6 + 1*10/1e6 = 0.0000125"),
    Case("upper case", "openai", "GPT-4o", _use(10, 10), "10*2.5/1e6 + 10*10/1e6 = 0.000125"),
    Case("cached", "openai", "gpt-4o", _use(1000, 0, 600), "400*2.5/1e6 + 600*1.25/1e6 = 0.00175"),
    Case("all cached", "openai", "gpt-4o", _use(1024, 0, 1024), "1024*1.25/1e6 = 0.00128"),
    Case("nothing", "openai", "gpt-4o", _use(0, 0, 0, 0, 0), "0*2.5/1e6 = 0"),
    Case("mini", "openai", "gpt-4o-mini", _use(123, 45, 23), "100*0.15/1e6 + 23*0.075/1e6 + 45*0.6/1e6 = 0.000043725"),
    Case("reasoning", "openai", "o3", _use(100, 5000, 0, None, 4800), "100*2/1e6 + 5000*8/1e6 = 0.0402"),
    Case("before the price cut", "openai", "o3", _use(1000, 100), "1000*10/1e6 + 100*40/1e6 = 0.014", at=YEAR_BEFORE),
    Case("flex", "openai", "o3", _use(1000, 100, 500), "500*1/1e6 + 500*0.25/1e6 + 100*4/1e6 = 0.001025", tier="flex"),
    Case(
        "priority, cache reads without a price of that tier",
        "openai",
        "gpt-4o",
        _use(1000, 100, 400),
        "600*4.25/1e6 + 400*1.25/1e6 + 100*17/1e6 = 0.00475",
        raw={"service_tier": "priority"},
    ),
    Case("default tier", "openai", "gpt-4o", _use(1000, 0), "1000*2.5/1e6 = 0.0025", tier="default"),
    Case(
        "audio",
        "openai",
        "gpt-audio",
        _use(500, 300),
        "100*2.5/1e6 + 400*32/1e6 + 50*10/1e6 + 250*64/1e6 = 0.02955",
        raw={"prompt_tokens_details": {"audio_tokens": 400}, "completion_tokens_details": {"audio_tokens": 250}},
    ),
    Case("no output price, no output", "openai", "text-embedding-3-small", _use(500, 0), "500*0.02/1e6 = 0.00001"),
    # Anthropic: writes cost more than input, one hour twice as much; above 200,000 tokens everything costs more.
    Case("plain", "anthropic", _SONNET_DATED, _use(1000, 200), "1000*3/1e6 + 200*15/1e6 = 0.006"),
    Case(
        "cache write and read",
        "anthropic",
        _SONNET_DATED,
        _use(5000, 100, 3000, 1500),
        "500*3/1e6 + 3000*0.3/1e6 + 1500*3.75/1e6 + 100*15/1e6 = 0.009525",
    ),
    Case(
        "one hour",
        "anthropic",
        _SONNET_DATED,
        _use(2000, 0, 0, 2000),
        "2000*6/1e6 = 0.012",
        raw=_cached_1h(2000),
    ),
    Case(
        "five minutes and one hour",
        "anthropic",
        _SONNET_DATED,
        _use(2100, 10, 0, 2000),
        "100*3/1e6 + 500*3.75/1e6 + 1500*6/1e6 + 10*15/1e6 = 0.011325",
        raw=_cached_1h(1500),
    ),
    Case("200,000", "anthropic", _SONNET_DATED, _use(200_000, 10), "200000*3/1e6 + 10*15/1e6 = 0.60015"),
    Case("200,001", "anthropic", _SONNET_DATED, _use(200_001, 10), "200001*6/1e6 + 10*22.5/1e6 = 1.200231"),
    Case(
        "long by its cached part",
        "anthropic",
        _SONNET_DATED,
        _use(250_000, 100, 240_000, 5_000),
        "5000*6/1e6 + 240000*0.6/1e6 + 5000*7.5/1e6 + 100*22.5/1e6 = 0.21375",
    ),
    Case(
        "web searches",
        "anthropic",
        _SONNET_DATED,
        _use(100, 100),
        "100*3/1e6 + 100*15/1e6 + 3*10/1e3 = 0.0318",
        raw={"server_tool_use": {"web_search_requests": 3}},
    ),
    Case(
        "standard words",
        "anthropic",
        "claude-opus-5",
        _use(1000, 100),
        "1000*5/1e6 + 100*25/1e6 = 0.0075",
        raw={"service_tier": "standard", "inference_geo": "global", "speed": "standard"},
    ),
    Case(
        "fast",
        "anthropic",
        "claude-opus-5",
        _use(1000, 100, 200),
        "800*10/1e6 + 200*1/1e6 + 100*50/1e6 = 0.0132",
        raw={"service_tier": "standard", "speed": "fast"},
    ),
    # Gemini: thoughts are output; tiers by the whole prompt; audio and images have prices of their own.
    Case("thoughts", "gemini", "gemini-2.5-pro", _use(1000, 700, 0, None, 500), "1000*1.25/1e6 + 700*10/1e6 = 0.00825"),
    Case("short", "gemini", "gemini-2.5-pro", _use(200_000, 0, 100_000), "100000*1.25/1e6 + 100000*0.125/1e6 = 0.1375"),
    Case(
        "long",
        "gemini",
        "gemini-2.5-pro",
        _use(200_001, 1, 200_000),
        "1*2.5/1e6 + 200000*0.25/1e6 + 1*15/1e6 = 0.0500175",
    ),
    Case(
        "audio",
        "gemini",
        "gemini-2.5-flash",
        _use(1000, 100),
        "200*0.3/1e6 + 800*1/1e6 + 100*2.5/1e6 = 0.00111",
        raw={"promptTokensDetails": _modality("AUDIO", 800)},
    ),
    Case(
        "cached audio",
        "gemini",
        "gemini-2.5-flash",
        _use(1000, 0, 300),
        "150*0.3/1e6 + 50*0.03/1e6 + 550*1/1e6 + 250*0.1/1e6 = 0.0006215",
        raw={"promptTokensDetails": _modality("AUDIO", 800), "cacheTokensDetails": _modality("AUDIO", 250)},
    ),
    Case(
        "an image made",
        "gemini",
        "gemini-2.5-flash-image",
        _use(100, 1300),
        "100*0.3/1e6 + 10*2.5/1e6 + 1290*30/1e6 = 0.038755",
        raw={"candidatesTokensDetails": _modality("IMAGE", 1290)},
    ),
    # The other hosts.
    Case(
        "slash in the name",
        "groq",
        "openai/gpt-oss-120b",
        _use(1000, 500, 200),
        "800*0.15/1e6 + 200*0.075/1e6 + 500*0.6/1e6 = 0.000435",
    ),
    Case(
        "on demand",
        "groq",
        "llama-3.3-70b-versatile",
        _use(1000, 500),
        "1000*0.59/1e6 + 500*0.79/1e6 = 0.000985",
        tier="on_demand",
    ),
    Case(
        "cache reads at no discount",
        "mistral",
        "mistral-large-latest",
        _use(1000, 100, 800),
        "1000*2/1e6 + 100*6/1e6 = 0.0026",
    ),
    Case(
        "day", "deepseek", "deepseek-chat", _use(1000, 100, 900), "100*0.27/1e6 + 900*0.07/1e6 + 100*1.1/1e6 = 0.0002"
    ),
    Case(
        "night",
        "deepseek",
        "deepseek-chat",
        _use(1000, 100, 900),
        "100*0.135/1e6 + 900*0.035/1e6 + 100*0.55/1e6 = 0.0001",
        at=NIGHT,
    ),
    Case(
        "list price", "xai", "grok-4", _use(1000, 300, 400, None, 250), "600*3/1e6 + 400*0.75/1e6 + 300*15/1e6 = 0.0066"
    ),
    Case(
        "its own word",
        "xai",
        "grok-4",
        _use(1000, 300),
        "37756000*1/1e10 = 0.0037756",
        raw={"cost_in_usd_ticks": 37756000},
    ),
    Case("list price", "openrouter", "openai/gpt-4o", _use(1000, 100), "1000*2.5/1e6 + 100*10/1e6 = 0.0035"),
    Case(
        "its own word",
        "openrouter",
        "openai/gpt-4o",
        _use(9, 9),
        "0.0001125 = 0.0001125",
        raw={"cost": 0.0001125, "is_byok": False},
    ),
    Case(
        "its fee and the upstream's bill",
        "openrouter",
        "openai/gpt-4o",
        _use(326, 50),
        "0.00001 + 0.0003253 = 0.0003353",
        raw={"cost": 1e-05, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0003253}},
    ),
    Case("a price of nothing", "openrouter", "stealth/owl", _use(1000, 100), "1000*0/1e6 + 100*0/1e6 = 0"),
    Case("free by its name", "openrouter", "z-ai/glm-4.5-air:free", _use(1000, 100), "1000*0/1e6 + 100*0/1e6 = 0"),
    Case(
        "by the model in the answer",
        "openrouter",
        "openrouter/auto",
        _use(1000, 100),
        "1000*2.5/1e6 + 100*10/1e6 = 0.0035",
        response_model="openai/gpt-4o",
    ),
    Case(
        "deployment name",
        "azure",
        "my-deployment",
        _use(1000, 100, 500),
        "500*2.5/1e6 + 500*1.25/1e6 + 100*10/1e6 = 0.002875",
        response_model="gpt-4o-2024-08-06",
    ),
    Case("another provider's model", "azure", "gpt-4o-mini", _use(1000, 100), "1000*0.15/1e6 + 100*0.6/1e6 = 0.00021"),
    Case("per request", "perplexity", "sonar", _use(10, 100), "10*1/1e6 + 100*1/1e6 + 1*12/1e3 = 0.01211"),
    Case(
        "reasoning and citations at prices of their own",
        "perplexity",
        "sonar-deep-research",
        _use(100, 1000, None, None, 600),
        "100*2/1e6 + 300*8/1e6 + 600*3/1e6 + 100*2/1e6 + 4*5/1e3 = 0.0246",
        raw={"citation_tokens": 100, "num_search_queries": 4},
    ),
    Case(
        "its own word",
        "perplexity",
        "sonar",
        _use(10, 100),
        "0.00617 = 0.00617",
        raw={"cost": {"input_cost": 0.00001, "total_cost": 0.00617, "currency": "USD"}},
    ),
    Case("plain", "together", "deepseek-ai/DeepSeek-V3", _use(100, 100), "200*1.25/1e6 = 0.00025"),
    Case("plain", "cerebras", "gpt-oss-120b", _use(2000, 1000), "2000*0.35/1e6 + 1000*0.75/1e6 = 0.00145"),
    # The user's table.
    Case("any provider", "ollama", "house-model", _use(1000, 100), "1000*0.1/1e6 + 100*0.2/1e6 = 0.00012", table=True),
    Case(
        "instead of the list",
        "openai",
        "gpt-4o",
        _use(1000, 100, 400),
        "600*2/1e6 + 400*0.5/1e6 + 100*8/1e6 = 0.0022",
        table=True,
    ),
    Case("writes as input", "openai", "gpt-4o", _use(1000, 0, 0, 900), "1000*2/1e6 = 0.002", table=True),
    Case(
        "everything",
        "acme",
        "full",
        _use(1000, 500, 300, 200, 400),
        "500*1/1e6 + 300*0.1/1e6 + 50*1.25/1e6 + 150*2/1e6 + 100*4/1e6 + 400*3/1e6 + 0.005 = 0.0074925",
        raw=_cached_1h(150),
        table=True,
    ),
    Case(
        "over the provider's own word",
        "openrouter",
        "openai/gpt-4o",
        _use(1000, 100),
        "1000*3/1e6 + 100*12/1e6 = 0.0042",
        raw={"cost": 0.0035},
        table=True,
    ),
    Case("at any tier", "openai", "gpt-4o", _use(1000, 0), "1000*2/1e6 = 0.002", tier="priority", table=True),
]

__all__ = ["CASES", "FROZEN", "NIGHT", "NOON", "TABLE", "YEAR_BEFORE", "Case"]
