"""What the guides say about usage, cost and the ledger is so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, WrapperConfig
from multi_llm_wrapper.metering import histogram, meter, prices
from multi_llm_wrapper.metering.ledger import sqlite
from multi_llm_wrapper.metering.ledger.rows import COLUMNS
from multi_llm_wrapper.metering.ledger.sink import Bounds
from multi_llm_wrapper.pricing import RATES
from multi_llm_wrapper.testing import CompletionDouble
from tests.metering.ledger_support import select

DOCS = Path(__file__).parents[2] / "docs"
METERING, COST, LEDGER = ((DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("metering", "cost", "ledger"))


def example(text: str) -> dict[str, Any]:
    """What the one example of a guide defines."""
    (source,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    found: dict[str, Any] = {}
    exec(source, found)
    return found


@pytest.mark.asyncio
async def test_the_example_of_metering(mock_completion: CompletionDouble, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints tokens, cost, requests and a time."""
    async with LLMWrapper(OpenAIConfig(api_key="sk-0123456789")) as llm:
        await llm.prices.ready()
        await example(METERING)["ask"](llm)
    tokens, cost, requests, seconds = capsys.readouterr().out.splitlines()
    assert ("30", "1.35e-05", "1") == (tokens, cost, requests)  # 10 * 0.15 + 20 * 0.60 dollars per million
    assert re.fullmatch(r"[\d.e-]+ seconds", seconds)


@pytest.mark.asyncio
async def test_the_example_of_cost(mock_completion: CompletionDouble, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the cost by its own table."""
    found = example(COST)
    async with LLMWrapper(found["config"]) as llm:
        await found["ask"](llm)
    assert "0.00018\n" == capsys.readouterr().out  # 10 * 2 + 20 * 8 dollars per million


@pytest.mark.asyncio
async def test_the_example_of_the_ledger(
    mock_completion: CompletionDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes one row, into the current folder; the statement of the guide reads it."""
    monkeypatch.chdir(tmp_path)
    await example(LEDGER)["ask"]()
    (statement,) = re.findall(r"^```sql\n(.*?)^```$", LEDGER, re.DOTALL | re.MULTILINE)
    file = tmp_path / "usage.db"

    assert [("gpt-4o-mini", 1, 20)] == await asyncio.to_thread(select, file, statement)
    assert ['{"team":"search"}'] == await asyncio.to_thread(select, file, "SELECT tags FROM calls")


def test_every_count_is_explained() -> None:
    """Every key of the totals stands in the guide, and so does every word of a summary of times."""
    llm = LLMWrapper(OpenAIConfig(api_key="sk-0123456789"))
    for name in [*llm.get_usage_stats()["openai"], *llm.get_response_times("openai")]:
        assert f"`{name}`" in METERING


def test_every_column_is_explained() -> None:
    """Every column of the table stands in the guide; so does every rate of a price table in its own."""
    for name in ("id", *COLUMNS):
        assert f"`{name}`" in LEDGER
    for rate in RATES:
        assert f"`{rate}`" in COST


def test_the_figures_are_those_of_the_code() -> None:
    """Bounds, sizes and waits."""
    bounds = Bounds()
    assert (1000, 256, 0.009) == (meter.MAX_CELLS, meter.MAX_NAME, round(histogram.ERROR, 3))
    assert 5.0 == prices.PATIENCE
    assert (0.2, 500, 10_000, 0.5, 30.0, 5.0, 60.0, 2) == (
        bounds.gather, bounds.batch, bounds.queue, bounds.retry, bounds.slowest, bounds.flush, bounds.quiet,
        sqlite.SCHEMA,
    )  # fmt: skip


@pytest.mark.parametrize("url", sorted(set(re.findall(r"sqlite:///[^\s`\"]+", LEDGER))))
def test_every_url_is_one(url: str) -> None:
    """A wrapper takes it."""
    assert WrapperConfig(ledger=url).ledger == url
    LLMWrapper(WrapperConfig(ledger=url))


@pytest.mark.parametrize("name", ["metering", "cost", "ledger"])
def test_the_guides_lead_to_each_other(name: str) -> None:
    """And nowhere that is not there."""
    text = {"metering": METERING, "cost": COST, "ledger": LEDGER}[name]
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert {"metering.md", "cost.md", "ledger.md"} - {f"{name}.md"} <= set(links)
    assert [] == [link for link in links if not (DOCS / link).exists()]
