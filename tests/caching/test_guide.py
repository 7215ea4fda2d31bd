"""What docs/caching.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from multi_llm_wrapper import LLMWrapper, WrapperConfig
from multi_llm_wrapper.caching import broadcast, guard, sqlite
from multi_llm_wrapper.caching.cache import _MANNER
from multi_llm_wrapper.caching.memory import MAX_BYTES
from multi_llm_wrapper.caching.store import TIMEOUT, open_store
from multi_llm_wrapper.testing import CompletionDouble

TEXT = (Path(__file__).parents[2] / "docs/caching.md").read_text(encoding="utf-8")


@pytest.mark.asyncio
async def test_the_example_runs(mock_completion: CompletionDouble, tmp_path: Path) -> None:
    """As it stands there, but with a file of the test's, it asks the provider once."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    found: dict[str, object] = {}
    exec(example.replace("sqlite:///llm.db", f"sqlite:///{tmp_path}/llm.db?timeout=5"), found)
    config, ask = found["config"], found["ask"]
    assert isinstance(config, WrapperConfig)
    async with LLMWrapper(config) as llm:
        await ask(llm)  # type: ignore[operator]
    assert 1 == mock_completion.call_count


@pytest.mark.parametrize("url", sorted(set(re.findall(r"\"((?:memory|sqlite|redis)[^\" ]*)\"", TEXT))))
def test_every_url_is_one(url: str) -> None:
    """Each opens a store of the kind that its scheme says."""
    if url.startswith("redis"):
        pytest.importorskip("redis")
    kinds = {"memory": "MemoryStore", "sqlite": "SQLiteStore", "redis": "RedisStore", "rediss": "RedisStore"}
    assert kinds[url.partition(":")[0]] == type(open_store(url)).__name__


def test_the_figures_are_those_of_the_code() -> None:
    """Limits, times and options are in the guide what they are in the code."""
    assert (64 * 1024 * 1024, 0.05, 64) == (MAX_BYTES, TIMEOUT, broadcast.AHEAD)
    assert (3, 5.0, "MLWC") == (guard.TOLERATED, guard.REST, sqlite.APPLICATION_ID.to_bytes(4, "big").decode())
    text = " ".join(TEXT.split())
    for said in ("64 MiB", "50 ms by default", "at most 64 chunks", "three failures in a row", "for five seconds"):
        assert said in text
    for name in _MANNER:
        assert f"`{name}`" in TEXT
