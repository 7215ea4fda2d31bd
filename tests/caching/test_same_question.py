"""What is one question where several models may answer it, and how old its answer may be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import AnthropicConfig, Deployment, LLMWrapper, OpenAIConfig, Response, WrapperConfig
from multi_llm_wrapper.simulator import Brain, MemoryTransport
from multi_llm_wrapper.testing.clock import VirtualClock
from tests.scripted import Act, Stage, ok, status

KEY = "sk-test-0123456789"
CLAUDE = Deployment("anthropic", "claude-sonnet-4-5", weight=1)


def team(model: str = "gpt-4o", **more: Any) -> dict[str, list[Deployment]]:
    """A name for two models, of which the second is asked practically always."""
    return {"team": [CLAUDE, Deployment("openai", model, weight=1e9, **more)]}


def llm_with(brain: Brain | None = None, **settings: Any) -> LLMWrapper:
    config = WrapperConfig(openai=OpenAIConfig(api_key=KEY), anthropic=AnthropicConfig(api_key=KEY), **settings)
    return LLMWrapper(config, transport=MemoryTransport(brain or Brain()))


async def cached(llm: LLMWrapper, *prompts: Any, model: str = "team", **options: Any) -> list[bool]:
    responses: list[Response] = [await llm.query(prompt, model, **options) for prompt in prompts]
    assert {"success"} == {response.status for response in responses}
    return [response.metadata["cached"] for response in responses]


# --- several deployments ----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_any_deployment_would_be_asked_makes_a_difference() -> None:
    """Also what the first of them has no words for, and so would not be sent."""
    named = [[{"role": "user", "content": "Who am I?", "name": name}] for name in ("bob", "al", "bob")]
    async with llm_with(deployments=team()) as llm:
        assert [False, False, True] == await cached(llm, *named)
    async with llm_with(deployments=team(), drop_unsupported=True) as llm:
        assert [[False], [False], [True]] == [await cached(llm, "Hi", seed=seed) for seed in (1, 2, 1)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "other", [team("gpt-4o-mini"), team(api_key="sk-of-another"), team(base_url="https://other.test/v1")]
)
async def test_another_deployment_behind_the_name_is_another_question(
    other: dict[str, list[Deployment]], tmp_path: Path
) -> None:
    """Its answers may come from another model, account or place, whichever of them is the first."""
    url = f"sqlite:///{tmp_path}/cache.db"
    found = []
    for deployments in (team(), other, team()):
        async with llm_with(deployments=deployments, cache=url) as llm:
            found += await cached(llm, "Hi")
    assert [False, False, True] == found


# --- fallbacks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["query", "stream"])
def test_a_fallback_answers_its_own_question(way: str) -> None:
    """Two calls that are the same to the first model, and not to the next, share no request."""
    stage = Stage(a=status(500, delay=1), b=ok(delay=1))

    async def play(llm: LLMWrapper) -> list[Response]:
        async def one(seed: int) -> Response:
            if way == "query":
                response: Response = await llm.query("Hi", "claude-x", seed=seed, fallbacks=["b/m"])
                return response
            stream = llm.stream("Hi", "claude-x", seed=seed, fallbacks=["b/m"])
            _ = [chunk async for chunk in stream]
            return stream.response

        return list(await asyncio.gather(*(one(seed) for seed in (1, 2, 2))))

    claude = AnthropicConfig(api_key=KEY, base_url="http://a")
    config = stage.config(enable_caching=True, drop_unsupported=True, anthropic=claude)
    responses = stage.run(config, play)
    assert [1, 2] == sorted(asked.json["seed"] for asked in stage.asked if asked.host == "b")
    assert [("b", "success")] * 3 == [(response.provider, response.status) for response in responses]


# --- namespaces -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_namespaces_share_nothing() -> None:
    """Tenants with one key: what one was told, another is not; a call may name its own."""
    async with llm_with(cache_namespace="a") as llm:
        assert [False, True] == await cached(llm, "Hi", "Hi", model="gpt-4o")
        assert [True] == await cached(llm, "Hi", model="gpt-4o", cache_namespace="a")
        assert [False, True] == await cached(llm, "Hi", "Hi", model="gpt-4o", cache_namespace="b")
        llm.config.cache_namespace = None
        assert [False] == await cached(llm, "Hi", model="gpt-4o")


# --- age --------------------------------------------------------------------------------------------------------


def test_the_configured_time_bounds_what_is_taken() -> None:
    """As that of a call does, also of an answer that was to be kept for longer."""
    stage = Stage(a=ok())

    async def play(llm: LLMWrapper) -> list[bool]:
        found = await cached(llm, "Hi", model="a/m", cache_ttl=1000)
        await asyncio.sleep(150)
        found += await cached(llm, "Hi", model="a/m", cache_ttl=1000)
        return found + await cached(llm, "Hi", model="a/m")

    assert [False, True, False] == stage.run(stage.config(enable_caching=True, cache_ttl=100), play)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["query", "stream"])
async def test_refresh_asks_while_the_last_answer_is_being_written(way: str, tmp_path: Path) -> None:
    """Each of four in a row, and so does one who wants nothing as old as that."""
    brain = Brain()
    async with llm_with(brain, cache=f"sqlite:///{tmp_path}/cache.db") as llm:

        async def ask(**options: Any) -> bool:
            if way == "query":
                return (await cached(llm, "Hi", model="gpt-4o", **options))[0]
            stream = llm.stream("Hi", "gpt-4o", **options)
            _ = [chunk async for chunk in stream]
            found: bool = stream.response.metadata["cached"]
            return found

        assert [False] * 4 == [await ask(cache="refresh") for _ in range(4)]
        assert not await ask(cache_ttl=1e-9)
    assert 5 == len(brain.journal)


# --- what is no answer for others -------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "kept"), [("{", False), ("[1]", False), ('{"city": "Rome"}', True), ("", True)])
def test_a_call_that_nobody_can_make_is_not_kept(arguments: str, kept: bool) -> None:
    """A tool call whose arguments are no JSON object is asked for again."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    stage = Stage(a=Act(body=json.dumps(body).encode()))

    async def play(llm: LLMWrapper) -> list[bool]:
        return await cached(llm, "Hi", "Hi", model="a/m")

    assert [False, kept] == stage.run(stage.config(enable_caching=True), play)


# --- time -------------------------------------------------------------------------------------------------------


def test_a_stream_that_was_joined_late_has_its_whole_time() -> None:
    """The first gives up when its time is over; who came later, and has heard nothing, asks again."""
    stage = Stage(a=[ok(delay=100), ok(delay=2)])

    async def play(llm: LLMWrapper) -> list[tuple[str, float]]:
        async def one(after: float) -> tuple[str, float]:
            await asyncio.sleep(after)
            stream = llm.stream("Hi", "a/m", timeout=5)
            _ = [chunk async for chunk in stream]
            return stream.response.error_type or "success", llm.clock.monotonic()

        return list(await asyncio.gather(*(one(after) for after in (0, 4, 4.5))))

    first, *others = stage.run(stage.config(enable_caching=True), play)
    assert ["timeout", "success", "success"] == [how for how, _ in (first, *others)]
    assert [5, 7, 7] == pytest.approx([at for _, at in (first, *others)])
    assert 2 == len(stage.asked)


# --- one who leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closed", "cancelled"])
@pytest.mark.parametrize("caching", [False, True])
def test_a_stream_that_is_left_says_what_was_reported(how: str, caching: bool) -> None:
    """Its response and the totals are complete when `aclose()` returns, with the cache as without."""
    brain, clock = Brain(), VirtualClock()
    counts = {"input_tokens": 1000, "output_tokens": 50}
    brain.script({"text": "a b c d", "usage": counts, "timing": "first=100 gap=1000"})
    config = WrapperConfig(
        anthropic=AnthropicConfig(api_key=KEY),
        enable_caching=caching,
        prices={"anthropic/claude-x": {"input": 3, "output": 15}},
    )

    async def main() -> tuple[Response, dict[str, Any]]:
        llm = LLMWrapper(config, transport=MemoryTransport(brain), clock=clock)
        llm.prices.loaded = True
        stream = llm.stream("Hi", "anthropic/claude-x")
        await anext(stream)
        if how == "closed":
            await stream.aclose()
        else:
            waiting = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.5)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        return stream.response, llm.get_usage_stats()["anthropic"]

    response, stats = clock.run(main())
    detail = response.metadata["attempts_detail"]
    assert (1000, 1, 1) == (response.usage and response.usage["input_tokens"], len(detail), detail[0]["duration"] > 0)
    assert (1, 1000) == (stats["abandoned"], stats["input_tokens"])
    assert stats["cost_usd"] == response.metadata["cost_usd"] > 0.003
    assert "incomplete_stream" == response.error_type
