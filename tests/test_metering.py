"""Calls as they are counted: through `LLMWrapper`, from the answer on the wire to totals, times, cost and ledger."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from multi_llm_wrapper import (
    AnthropicConfig,
    GroqConfig,
    LLMWrapper,
    OpenAIConfig,
    Response,
    ResponseStream,
    WrapperConfig,
)
from multi_llm_wrapper.caching.cache import TURN
from multi_llm_wrapper.metering.ledger.reader import open_file
from multi_llm_wrapper.metering.price_catalogue import Catalogue, load_catalogue
from multi_llm_wrapper.metering.prices import PATIENCE, Prices
from multi_llm_wrapper.simulator import Brain, MemoryTransport, Plan, Step
from multi_llm_wrapper.testing import CompletionDouble
from multi_llm_wrapper.testing.clock import VirtualClock
from tests.scripted import FAILURES, SILENT, Act, Stage, ok, status
from tests.servers import COUNTS, DONE, FINISH, delta, sse

T = TypeVar("T")

ZERO: dict[str, Any] = {
    "requests": 0,
    "tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "reasoning_tokens": 0,
    "errors": 0,
    "retries": 0,
    "hedges": 0,
    "cache_hits": 0,
    "abandoned": 0,
    "unpriced_requests": 0,
    "errors_by_class": {},
    "cost_usd": 0.0,
}
DOLLARS: dict[str, Any] = {"a/m": {"input": 1, "output": 2}, "b/m": {"input": 100, "output": 200}}
ANSWERED = {**ZERO, "requests": 1, "tokens": 5, "input_tokens": 3, "output_tokens": 2}
A_COSTS, B_COSTS = 0.000007, 0.0007  # 3 * 1 + 2 * 2, and 3 * 100 + 2 * 200 dollars per million
TWO = {"a/m": ["b/m"]}


def listed(llm: LLMWrapper) -> LLMWrapper:
    """Without the price list: prices of the table alone, and nothing to wait for."""
    llm.prices.loaded = True
    return llm


def played(stage: Stage, play: Callable[[LLMWrapper], Awaitable[T]], **settings: Any) -> tuple[T, dict[str, Any]]:
    """What `play` gives, and the totals when it is over."""

    async def main(llm: LLMWrapper) -> tuple[T, dict[str, Any]]:
        found = await play(listed(llm))
        await asyncio.sleep(0)
        return found, llm.get_usage_stats()

    return stage.run(stage.config(prices=DOLLARS, **settings), main)


async def asked(llm: LLMWrapper, **options: Any) -> Response:
    response: Response = await llm.query("Hello?", "a/m", **options)
    return response


async def streamed(llm: LLMWrapper, **options: Any) -> Response:
    stream = llm.stream("Hello?", "a/m", **options)
    _ = [chunk async for chunk in stream]
    return stream.response


WAYS = {"query": asked, "stream": streamed}
both = pytest.mark.parametrize("way", WAYS)


# --- what is counted --------------------------------------------------------------------------------------------


def test_configured_providers_have_zeros() -> None:
    """Every key is there before the first call."""
    stage = Stage(a=ok(), b=ok())

    assert {"a": ZERO, "b": ZERO} == {
        name: stats for name, stats in stage.wrapper(stage.config()).get_usage_stats().items() if name in ("a", "b")
    }


@both
def test_a_success(way: str) -> None:
    """One request with its tokens and its cost, which is that in the metadata; nothing elsewhere."""
    response, stats = played(Stage(a=ok(), b=ok()), WAYS[way])

    assert A_COSTS == response.metadata["cost_usd"]
    assert [{**ANSWERED, "cost_usd": A_COSTS}, ZERO] == [stats["a"], stats["b"]]


@both
def test_a_retry_that_succeeds(way: str) -> None:
    """One request, one retry, no error."""
    response, stats = played(Stage(a=[status(500), ok()]), WAYS[way], max_retries=1)

    assert ("success", 2, A_COSTS) == (response.status, response.metadata["attempts"], response.metadata["cost_usd"])
    assert {**ANSWERED, "retries": 1, "cost_usd": A_COSTS} == stats["a"]


@both
@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure(way: str, kind: str) -> None:
    """One request, one error of its class, no tokens; its cost is not known and is not missed."""
    response, stats = played(Stage(a=FAILURES[kind]), WAYS[way], timeout_seconds=5)

    assert ("error", kind, None) == (response.status, response.error_type, response.metadata["cost_usd"])
    assert {**ZERO, "requests": 1, "errors": 1, "errors_by_class": {kind: 1}} == stats["a"]


@both
def test_a_reply_without_an_answer(way: str) -> None:
    """Is billed all the same, with what it reported, also where the next attempt answers."""
    stage = Stage(a=[Act(body=json.dumps(COUNTS).encode()), ok()])
    response, stats = played(stage, WAYS[way], max_retries=1)

    assert ("success", 2 * A_COSTS) == (response.status, response.metadata["cost_usd"])
    assert "empty_response" == response.metadata["attempts_detail"][0]["error_type"]
    twice = {name: 2 * ANSWERED[name] for name in ("tokens", "input_tokens", "output_tokens")}
    assert {**ANSWERED, **twice, "retries": 1, "cost_usd": 2 * A_COSTS} == stats["a"]


def test_an_empty_turn_of_claude() -> None:
    """In a whole reply, whose events nobody has seen."""
    counts = {"input_tokens": 25, "output_tokens": 1}
    message = {"type": "message", "content": [], "stop_reason": "end_turn", "usage": counts}

    async def play(llm: LLMWrapper) -> Response:
        response: Response = await llm.query("Hello?", CLAUDE, max_retries=0)
        return response

    plan = Plan(200, {"content-type": "application/json"}, [Step(0.0, json.dumps(message).encode())])
    response, stats = at_anthropic(play, plan)
    assert ("empty_response", 0.00009) == (response.error_type, response.metadata["cost_usd"])
    assert {**PART, "errors": 1, "errors_by_class": {"empty_response": 1}} == stats["anthropic"]


@both
def test_a_failure_after_retries(way: str) -> None:
    """The class is that of the last attempt."""
    _, stats = played(Stage(a=[status(500), status(500), status(429)]), WAYS[way], max_retries=2)

    assert {**ZERO, "requests": 1, "errors": 1, "retries": 2, "errors_by_class": {"rate_limit": 1}} == stats["a"]


@both
def test_a_fallback(way: str) -> None:
    """A request for each provider: an error for the one that failed, the answer for the other."""
    response, stats = played(Stage(a=status(500), b=ok()), WAYS[way], fallbacks=TWO)

    assert ("b", B_COSTS) == (response.provider, response.metadata["cost_usd"])
    assert {**ZERO, "requests": 1, "errors": 1, "errors_by_class": {"server_error": 1}} == stats["a"]
    assert {**ANSWERED, "cost_usd": B_COSTS} == stats["b"]


@both
def test_a_fallback_to_another_model_of_the_provider(way: str) -> None:
    """One request at the provider, which was answered; an error of the first model, an answer of the second one."""
    stage = Stage(a=[status(500), ok()])

    async def play(llm: LLMWrapper) -> dict[str, Any]:
        await WAYS[way](llm)
        return llm.get_usage_stats(by="model")

    models, stats = played(stage, play, fallbacks={"a/m": ["a/n"]})
    assert {**ANSWERED, "unpriced_requests": 1} == stats["a"] == models["a/n"]
    assert {**ZERO, "requests": 1, "errors": 1, "errors_by_class": {"server_error": 1}} == models["a/m"]


def test_a_hedge_that_wins() -> None:
    """A request for both; the slower one is neither an error nor abandoned."""
    stage = Stage(a=ok(pause=100), b=ok(pause=1))
    response, stats = played(stage, streamed, fallbacks=TWO, hedge_after=2.0)

    assert ("b", 2) == (response.provider, response.metadata["attempts"])
    assert {**ZERO, "requests": 1} == stats["a"]
    assert {**ANSWERED, "hedges": 1, "cost_usd": B_COSTS} == stats["b"]


def test_a_hedge_that_loses() -> None:
    """Counts as a request and a hedge where it went."""
    response, stats = played(Stage(a=ok(pause=3), b=ok(pause=50)), streamed, fallbacks=TWO, hedge_after=2.0)

    assert "a" == response.provider
    assert [{**ANSWERED, "cost_usd": A_COSTS}, {**ZERO, "requests": 1, "hedges": 1}] == [stats["a"], stats["b"]]


def test_a_hedge_that_loses_at_the_same_provider() -> None:
    """One request with a hedge, and no retry."""
    stage = Stage(a=lambda now: ok(pause=3 if now < 1 else 50))
    _, stats = played(stage, streamed, fallbacks={"a/m": ["a/n"]}, hedge_after=2.0)

    assert {**ANSWERED, "hedges": 1, "cost_usd": A_COSTS} == stats["a"]


@both
def test_a_cancelled_call(way: str) -> None:
    """Is abandoned, which is no error."""

    async def leave(llm: LLMWrapper) -> None:
        task = asyncio.create_task(WAYS[way](llm))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for caching in (False, True):
        _, stats = played(Stage(a=SILENT), leave, enable_caching=caching)
        assert {**ZERO, "requests": 1, "abandoned": 1} == stats["a"]


@both
def test_refused_unsent(way: str) -> None:
    """What never left counts nowhere."""
    response, stats = played(Stage(a=ok()), lambda llm: WAYS[way](llm, temperature="hot"))

    assert ("validation_error", 0, None) == (
        response.error_type,
        response.metadata["attempts"],
        response.metadata["cost_usd"],
    )
    assert ZERO == stats["a"]


def test_what_is_given_is_a_copy() -> None:
    """Whatever is done to it, the next one is right."""

    async def play(llm: LLMWrapper) -> list[dict[str, Any]]:
        await asked(llm)
        found: list[dict[str, Any]] = []
        for by in ("provider", "model", "tag"):
            for stats in llm.get_usage_stats(by).values():
                stats["requests"] = 99
                stats["errors_by_class"]["timeout"] = 99
            found.append(llm.get_usage_stats(by))
        return found

    (by_provider, by_model, by_tag), _ = played(Stage(a=status(500)), play)
    expected = {**ZERO, "requests": 1, "errors": 1, "errors_by_class": {"server_error": 1}}
    assert (expected, expected, {}) == (by_provider["a"], by_model["a/m"], by_tag)


def test_by_model() -> None:
    """Under the name that was sent; a provider's figures are their sum."""

    async def play(llm: LLMWrapper) -> dict[str, Any]:
        for model in ("a/m", "a/other", "a/m", "b/m"):
            await llm.query("Hello?", model)
        return llm.get_usage_stats(by="model")

    models, stats = played(Stage(a=ok(), b=ok()), play)
    assert {"a/m": (2, 10, 0), "a/other": (1, 5, 1), "b/m": (1, 5, 0)} == {
        name: (found["requests"], found["tokens"], found["unpriced_requests"]) for name, found in models.items()
    }
    assert (3, 15, 1, 2 * A_COSTS) == tuple(
        stats["a"][name] for name in ("requests", "tokens", "unpriced_requests", "cost_usd")
    )


def test_by_tag() -> None:
    """A call counts once for each of its tags, as a whole, however many were asked."""

    async def play(llm: LLMWrapper) -> dict[str, Any]:
        await asked(llm, tags={"team": "search", "user": "7"})
        await streamed(llm, tags={"team": "search"})
        await asked(llm)
        await asked(llm, tags={"team": "lost"}, temperature="hot")
        return llm.get_usage_stats(by="tag")

    tags, _ = played(Stage(a=[status(500), ok()], b=ok()), play, fallbacks=TWO)
    assert {"team=search": {**ANSWERED, "requests": 2, "tokens": 10, "input_tokens": 6, "output_tokens": 4,
                            "cost_usd": B_COSTS + A_COSTS},
            "user=7": {**ANSWERED, "cost_usd": B_COSTS}} == tags  # fmt: skip


def test_by_something_else() -> None:
    """Is a mistake of the program."""
    with pytest.raises(ValueError, match="by must be"):
        Stage(a=ok()).wrapper(WrapperConfig()).get_usage_stats(by="team")  # type: ignore[arg-type]  # on purpose


# --- what was reported before it went wrong ---------------------------------------------------------------------

BEGUN = sse(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-x",
            "content": [],
            "stop_reason": None,
            "usage": {"input_tokens": 25, "output_tokens": 1},
        },
    },
    event="message_start",
)
"""Anthropic says what the input is before the first word."""
SAYS = sse(
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
)
ENDS = sse(
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 11}},
    {"type": "message_stop"},
)
CLAUDE = "anthropic/claude-x"
CLAUDE_COSTS: dict[str, Any] = {
    CLAUDE: {"input": 3, "output": 15},
    "anthropic/claude-y": {"input": 1, "output": 1},
    "openai/gpt-x": {"input": 1, "output": 2},
}
PART = {**ZERO, "requests": 1, "tokens": 26, "input_tokens": 25, "output_tokens": 1, "cost_usd": 0.00009}
"""The start alone: 25 * 3 + 1 * 15 dollars per million."""
ANSWER = {**ZERO, "requests": 1, "tokens": 36, "input_tokens": 25, "output_tokens": 11, "cost_usd": 0.00024}
"""To its end: 25 * 3 + 11 * 15."""
HANGS = Step(1e6, b"")
CUTS = Step(0.0, b"", cut="reset")


def claude(*steps: Step) -> Plan:
    return Plan(200, {"content-type": "text/event-stream"}, steps)


def gpt(after: float = 0.0) -> Plan:
    """OpenAI's answer, which reports its usage at the end."""
    said = sse(delta(content="Hello"), FINISH, COUNTS, DONE)
    return Plan(200, {"content-type": "text/event-stream"}, [Step(after, said)])


def at_anthropic(play: Callable[[LLMWrapper], Awaitable[T]], *plans: Plan, **settings: Any) -> tuple[T, dict[str, Any]]:
    """What `play` gives and the totals: requests get these plans one after the other, `gpt` is OpenAI's."""
    brain = Brain()
    turns = iter(plans)
    brain.script(lambda _: next(turns), times=len(plans))
    config = WrapperConfig(
        anthropic=AnthropicConfig(api_key="sk-ant-0123456789", base_url="http://claude"),
        openai=OpenAIConfig(api_key="sk-0123456789", base_url="http://gpt/v1"),
        prices=CLAUDE_COSTS,
        **{"max_retries": 0, "enable_caching": False, **settings},
    )
    clock = VirtualClock()

    async def main() -> tuple[T, dict[str, Any]]:
        llm = listed(LLMWrapper(config, transport=MemoryTransport(brain), clock=clock))
        found = await play(llm)
        await asyncio.sleep(0)
        return found, llm.get_usage_stats()

    return clock.run(main())


async def ask_claude(llm: LLMWrapper) -> Response:
    stream = llm.stream("Hello?", CLAUDE)
    _ = [chunk async for chunk in stream]
    return stream.response


async def leave_claude(llm: LLMWrapper) -> Response:
    """Goes after the first word."""
    async with llm.stream("Hello?", CLAUDE) as stream:
        await anext(stream)
    await asyncio.sleep(0)
    return stream.response


async def cancel_claude(llm: LLMWrapper) -> None:
    task = asyncio.create_task(ask_claude(llm))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_whole_stream() -> None:
    """As a yardstick for the others: the last counts that were reported."""
    response, stats = at_anthropic(ask_claude, claude(Step(0.0, BEGUN + SAYS + ENDS)))

    assert (ANSWER, 0.00024) == (stats["anthropic"], response.metadata["cost_usd"])


@pytest.mark.parametrize("caching", [False, True])
def test_an_abandoned_stream(caching: bool) -> None:
    """Is billed for what had been reported when the caller left."""
    response, stats = at_anthropic(leave_claude, claude(Step(0.0, BEGUN + SAYS), HANGS), enable_caching=caching)

    assert "incomplete_stream" == response.error_type
    assert {**PART, "abandoned": 1} == stats["anthropic"]
    if not caching:  # else it is counted where the provider's stream ends, a moment later
        assert 0.00009 == response.metadata["cost_usd"]


@pytest.mark.parametrize("steps", [(Step(0.0, BEGUN), HANGS), (Step(0.0, BEGUN + SAYS), HANGS)])
@pytest.mark.parametrize("caching", [False, True])
def test_a_cancelled_stream(caching: bool, steps: tuple[Step, ...]) -> None:
    """The same, also before the first word."""
    _, stats = at_anthropic(cancel_claude, claude(*steps), enable_caching=caching)

    assert {**PART, "abandoned": 1} == stats["anthropic"]


@pytest.mark.parametrize("steps", [(Step(0.0, BEGUN), CUTS), (Step(0.0, BEGUN + SAYS), CUTS)])
def test_a_failed_stream(steps: tuple[Step, ...]) -> None:
    """Is billed for what had been reported when it broke."""
    response, stats = at_anthropic(ask_claude, claude(*steps))

    assert ("error", 0.00009) == (response.status, response.metadata["cost_usd"])
    assert {**PART, "errors": 1, "errors_by_class": {"incomplete_stream": 1}} == stats["anthropic"]


def test_a_failed_attempt_of_a_stream_that_succeeded() -> None:
    """Both are billed, in the metadata too; the usage of the answer is its own."""
    response, stats = at_anthropic(
        ask_claude, claude(Step(0.0, BEGUN), CUTS), claude(Step(0.0, BEGUN + SAYS + ENDS)), max_retries=1
    )

    assert response.usage is not None
    assert ("success", 0.00033, 36) == (
        response.status,
        response.metadata["cost_usd"],
        response.usage["total_tokens"],
    )
    expected = {"requests": 1, "retries": 1, "tokens": 62, "input_tokens": 50, "output_tokens": 12}
    assert {**ZERO, **expected, "cost_usd": 0.00033} == stats["anthropic"]


def test_a_restart() -> None:
    """What was thrown away is billed all the same."""
    response, stats = at_anthropic(
        ask_claude,
        claude(Step(0.0, BEGUN + SAYS), CUTS),
        gpt(),
        on_interrupt="restart",
        fallbacks={CLAUDE: ["openai/gpt-x"]},
    )

    assert ("success", "openai", 0.000097) == (response.status, response.provider, response.metadata["cost_usd"])
    assert {**PART, "errors": 1, "errors_by_class": {"incomplete_stream": 1}} == stats["anthropic"]
    assert {**ANSWERED, "cost_usd": 0.000007} == stats["openai"]


HEDGED: dict[str, Any] = {"fallbacks": {CLAUDE: ["openai/gpt-x"]}, "hedge_after": 2.0}


def test_the_loser_of_a_race_is_billed() -> None:
    """For the input that it had reported before the other one was faster."""
    response, stats = at_anthropic(ask_claude, claude(Step(0.0, BEGUN), HANGS), gpt(1.0), **HEDGED)

    assert ("success", "openai", 0.000097) == (response.status, response.provider, response.metadata["cost_usd"])
    assert [PART, {**ANSWERED, "hedges": 1, "cost_usd": 0.000007}] == [stats["anthropic"], stats["openai"]]


@pytest.mark.parametrize("settings", [{}, HEDGED], ids=["alone", "in a race"])
def test_closed_by_another_task_before_the_first_word(settings: dict[str, Any]) -> None:
    """Billed for the input, which had been reported."""

    async def close(llm: LLMWrapper) -> Response:
        stream = llm.stream("Hello?", CLAUDE)
        task = asyncio.create_task(anext(stream))
        await asyncio.sleep(1)
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await task
        return stream.response

    response, stats = at_anthropic(close, claude(Step(0.0, BEGUN), HANGS), **settings)
    assert 0.00009 == response.metadata["cost_usd"]
    assert {**PART, "abandoned": 1} == stats["anthropic"]


def test_who_fails_in_a_race_is_billed() -> None:
    """The first one breaks while the other is under way."""
    response, stats = at_anthropic(
        ask_claude, claude(Step(0.0, BEGUN), Step(3.0, b"", cut="reset")), gpt(9.0), **HEDGED
    )

    assert ("success", "openai", 0.000097) == (response.status, response.provider, response.metadata["cost_usd"])
    assert {**PART, "errors": 1, "errors_by_class": {"incomplete_stream": 1}} == stats["anthropic"]


def test_who_fails_alone_in_a_race_is_billed() -> None:
    """Before any other was asked."""
    response, stats = at_anthropic(ask_claude, claude(Step(0.0, BEGUN), CUTS), gpt(), **HEDGED)

    assert ("success", "openai", 0.000097) == (response.status, response.provider, response.metadata["cost_usd"])
    assert {**PART, "errors": 1, "errors_by_class": {"incomplete_stream": 1}} == stats["anthropic"]


# --- the cache --------------------------------------------------------------------------------------------------


@both
def test_a_cache_hit(way: str) -> None:
    """Is a hit and nothing else: no request, no tokens, no time, and it costs nothing."""

    async def play(llm: LLMWrapper) -> tuple[Response, Any]:
        await asked(llm)
        before = llm.get_response_times("a")
        hit = await WAYS[way](llm, tags={"team": "search"})
        assert before == llm.get_response_times("a")
        return hit, llm.get_usage_stats(by="tag")

    (response, tags), stats = played(Stage(a=ok(delay=1)), play, enable_caching=True)
    assert (True, 0.0) == (response.metadata["cached"], response.metadata["cost_usd"])
    assert {**ANSWERED, "cache_hits": 1, "cost_usd": A_COSTS} == stats["a"]
    assert {"team=search": {**ZERO, "cache_hits": 1}} == tags


@both
def test_those_who_share_an_answer(way: str) -> None:
    """One request; the others are hits."""

    async def play(llm: LLMWrapper) -> list[Response]:
        return list(await asyncio.gather(*(WAYS[way](llm) for _ in range(3))))

    responses, stats = played(Stage(a=ok(delay=1)), play, enable_caching=True)
    assert [A_COSTS, 0.0, 0.0] == [response.metadata["cost_usd"] for response in responses]
    assert {**ANSWERED, "cache_hits": 2, "cost_usd": A_COSTS} == stats["a"]


@both
def test_those_who_share_a_failure(way: str, tmp_path: Path) -> None:
    """One request and one error; the others are in the ledger alone, as calls that sent nothing."""

    async def play(llm: LLMWrapper) -> list[Response]:
        found = list(await asyncio.gather(*(WAYS[way](llm, tags={"n": "1"}) for _ in range(3))))
        assert {"n=1": {**ZERO, "requests": 1, "errors": 1, "errors_by_class": {"server_error": 1}}} == (
            llm.get_usage_stats(by="tag")
        )
        await llm.aclose()
        return found

    file = tmp_path / "usage.db"
    responses, stats = played(Stage(a=status(500, delay=1)), play, enable_caching=True, ledger=f"sqlite:///{file}")
    assert [None] * 3 == [response.metadata["cost_usd"] for response in responses]
    assert {**ZERO, "requests": 1, "errors": 1, "errors_by_class": {"server_error": 1}} == stats["a"]
    assert [("error", "server_error", n, "a", "m") for n in (0, 0, 1)] == sorted(
        (row["status"], row["error_type"], row["attempts"], row["provider"], row["model"]) for row in rows(file)
    )


def test_a_waiter_who_leaves(tmp_path: Path) -> None:
    """Before the answer that another call asked for is there: nothing in the totals, a row in the ledger."""

    async def play(llm: LLMWrapper) -> None:
        for way in (asked, streamed):
            first, second = (asyncio.create_task(way(llm)) for _ in range(2))
            await asyncio.sleep(0.5)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            await first
        await llm.aclose()

    file = tmp_path / "usage.db"
    stage = Stage(a=[ok(delay=1), ok("Bye", delay=1)])
    config = {"enable_caching": True, "ledger": f"sqlite:///{file}", "cache_ttl": 1e-9}
    _, stats = played(stage, play, **config)
    assert {**ANSWERED, "requests": 2, "tokens": 10, "input_tokens": 6, "output_tokens": 4,
            "cost_usd": 2 * A_COSTS} == stats["a"]  # fmt: skip
    assert [("abandoned", 0, 0), ("success", 0, 1), ("abandoned", 1, 0), ("success", 1, 1)] == [
        (row["status"], row["streamed"], row["attempts"]) for row in rows(file)
    ]


@pytest.mark.parametrize("caching", [False, True])
def test_an_abandoned_stream_is_one_row(caching: bool, tmp_path: Path) -> None:
    """Whoever reads the provider's stream for it."""

    async def leave_and_close(llm: LLMWrapper) -> None:
        await leave_claude(llm)
        await llm.aclose()

    file = tmp_path / "usage.db"
    plan = claude(Step(0.0, BEGUN + SAYS), HANGS)
    at_anthropic(leave_and_close, plan, enable_caching=caching, ledger=f"sqlite:///{file}")
    assert [("abandoned", 25, 1, None, 1)] == [
        (row["status"], row["input_tokens"], row["output_tokens"], row["error_type"], row["attempts"])
        for row in rows(file)
    ]


def test_a_leader_who_leaves() -> None:
    """The others still get their answer; what it cost is counted once, with the call that asked."""

    async def play(llm: LLMWrapper) -> None:
        first, second = (asyncio.create_task(streamed(llm)) for _ in range(2))
        await asyncio.sleep(0.5)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert "success" == (await second).status

    _, stats = played(Stage(a=ok(pause=1)), play, enable_caching=True)
    assert {**ANSWERED, "cache_hits": 1, "cost_usd": A_COSTS} == stats["a"]


async def leaves(llm: LLMWrapper, way: str, prompt: str, turns: int) -> None:
    """Asks, and goes after so many turns of the event loop, if it has not been answered before."""
    stream = llm.stream(prompt, "a/m")
    task = asyncio.create_task(llm.query(prompt, "a/m") if way == "query" else read(stream))
    for _ in range(turns):
        await asyncio.sleep(0)
    if way == "close":
        await stream.aclose()
    else:
        task.cancel()
    await asyncio.wait((task,))


async def read(stream: ResponseStream) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize("cache", ["memory", "sqlite", None])
@pytest.mark.parametrize("way", ["query", "stream", "close"])
def test_who_leaves_at_any_moment_is_one_row(way: str, cache: str | None, tmp_path: Path) -> None:
    """Alone or beside another one, with an answer in the cache or without: before anything was asked, too."""
    file, stage, calls = tmp_path / "usage.db", Stage(a=ok()), 0
    url = f"sqlite:///{tmp_path}/cache.db" if cache == "sqlite" else cache

    async def main() -> None:
        nonlocal calls
        config = stage.config(prices=DOLLARS, cache=url, enable_caching=cache is not None, ledger=f"sqlite:///{file}")
        async with listed(LLMWrapper(config, transport=stage)) as llm:
            await llm.query("Known", "a/m")
            await asyncio.gather(*(llm.query("Known", "a/m") for _ in range(TURN - 1)))  # the next hit waits
            calls = TURN
            for turns in range(1, 25):
                await leaves(llm, way, "Known", turns)
                await leaves(llm, way, f"New {turns}", turns)
                both = (leaves(llm, way, f"Shared {turns}", turns + more) for more in range(2))
                await asyncio.gather(*both)
                calls += 4
            await asyncio.sleep(0.05)

    asyncio.run(main())
    assert calls == len(rows(file))


# --- times ------------------------------------------------------------------------------------------------------


def test_response_times() -> None:
    """Of all requests, failed ones too, within one percent; the count, the mean and the largest are exact."""
    stage = Stage(a=[ok(delay=seconds) for seconds in range(1, 100)] + [status(500, delay=100)])

    async def play(llm: LLMWrapper) -> tuple[dict[str, Any], float]:
        for _ in range(100):
            await asked(llm)
        return llm.get_response_times("a"), llm.get_average_response_time("a")

    (times, average), _ = played(stage, play)
    none = {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}
    assert (none, none) == (times.pop("time_to_first_token"), times.pop("time_per_output_token"))
    assert (100, 50.5, 50.5, 100.0) == pytest.approx((times["count"], times["mean"], average, times["max"]))
    assert [50, 90, 95, 99] == pytest.approx([times[f"p{p}"] for p in (50, 90, 95, 99)], rel=0.01)


def test_times_of_streams() -> None:
    """To the first content, and from there to the end for each token after the first."""
    brain = Brain()
    counts = {**COUNTS, "usage": {"prompt_tokens": 3, "completion_tokens": 21, "total_tokens": 24}}
    steps = [Step(2.0, sse(delta(content="Hello"))), Step(10.0, sse(delta(content=" you"), FINISH, counts, DONE))]
    brain.script(lambda _: Plan(200, {"content-type": "text/event-stream"}, steps), times=None)
    config = WrapperConfig(openai=OpenAIConfig(api_key="sk-1", base_url="http://gpt/v1"), enable_caching=False)
    clock = VirtualClock()

    async def main() -> tuple[ResponseStream, dict[str, Any]]:
        llm = listed(LLMWrapper(config, transport=MemoryTransport(brain), clock=clock))
        stream = llm.stream("Hello?", "openai/gpt-x")
        _ = [chunk async for chunk in stream]
        return stream, llm.get_response_times("openai")

    stream, times = clock.run(main())
    assert (2.0, 12.0) == pytest.approx(
        (stream.response.metadata["time_to_first_token"], stream.response.metadata["response_time"])
    )
    for found, seconds in (
        (times, 12.0),
        (times["time_to_first_token"], 2.0),
        (times["time_per_output_token"], 0.5),  # ten seconds for twenty tokens
    ):
        assert (1, seconds, seconds) == pytest.approx((found["count"], found["mean"], found["max"]))
        assert [seconds] * 4 == pytest.approx([found[f"p{p}"] for p in (50, 90, 95, 99)], rel=0.01)


def test_the_time_of_each_provider() -> None:
    """Of one that was one of several asked, that of its attempts alone."""

    async def play(llm: LLMWrapper) -> list[float]:
        await asked(llm)
        return [llm.get_average_response_time(name) for name in ("a", "b", "nobody")]

    times, _ = played(Stage(a=status(500, delay=3), b=ok(delay=2)), play, fallbacks=TWO)
    assert [3.0, 2.0, 0.0] == pytest.approx(times)


# --- cost -------------------------------------------------------------------------------------------------------


class Late(Prices):
    """A price list that is there three seconds after the first answer."""

    def start(self) -> None:
        pass

    async def ready(self) -> None:
        await asyncio.sleep(3)
        self.loaded = True


@both
def test_the_first_call_does_not_take_the_time_of_the_price_list(way: str) -> None:
    """It waits for it and has its cost, but its time is that of the provider; no later call waits."""
    stage = Stage(a=ok(delay=1))

    async def play(llm: LLMWrapper) -> tuple[list[Response], list[float]]:
        llm.prices = Late(DOLLARS)
        found = [await WAYS[way](llm), await WAYS[way](llm)]
        return found, [stage.clock.monotonic(), llm.get_average_response_time("a"), llm.get_response_times("a")["max"]]

    responses, times = stage.run(stage.config(), play)
    assert [A_COSTS] * 2 == [response.metadata["cost_usd"] for response in responses]
    assert [1.0, 1.0] == pytest.approx([response.metadata["response_time"] for response in responses])
    assert [5.0, 1.0, 1.0] == pytest.approx(times)


@pytest.mark.asyncio
async def test_the_first_call_waits_for_its_cost(mock_completion: CompletionDouble) -> None:
    """The list is loaded in a thread, and the answer has its cost."""
    may_go = threading.Event()

    def load() -> Catalogue:
        assert may_go.wait(10)
        return load_catalogue()

    llm = LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key="sk-0123456789")))
    llm.prices = Prices(load=load)

    async def answered(**request: Any) -> Any:
        asyncio.get_running_loop().call_soon(may_go.set)
        return mock_completion.default(**request)

    mock_completion.side_effect = answered
    response = await llm.query("Hello?", "gpt-4o")
    assert 0.000225 == response.metadata["cost_usd"]  # 10 * 2.5 + 20 * 10 dollars per million


def test_a_price_list_that_does_not_come() -> None:
    """Is waited for once, a few seconds, and the call goes on without its cost and without that time."""
    stage, never = Stage(a=ok(delay=1)), threading.Event()

    async def play(llm: LLMWrapper) -> tuple[list[Response], float]:
        llm.prices = Prices(load=lambda: never.wait(20) and None)  # type: ignore[arg-type,return-value]  # never gives any
        try:
            found = [await asked(llm) for _ in range(2)]
            return found, stage.clock.monotonic()
        finally:
            never.set()

    responses, took = stage.run(stage.config(), play)
    assert [None, None] == [response.metadata["cost_usd"] for response in responses]
    assert [1.0, 1.0] == pytest.approx([response.metadata["response_time"] for response in responses])
    assert took <= 2 + PATIENCE


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("gpt-4o", 0.000225),  # 10 * 2.5 + 20 * 10
        ("gpt-4o-mini", 0.00005),  # the table's own: 10 * 1 + 20 * 2
        ("groq/of-nobody", None),
    ],
)
async def test_cost_by_the_price_list(mock_completion: CompletionDouble, model: str, cost: float | None) -> None:
    """genai-prices has the model, the table goes before it, and what neither has is not known."""
    table = {"gpt-4o-mini": {"input": 1, "output": 2}}
    config = WrapperConfig(
        prices=table,
        enable_caching=False,
        openai=OpenAIConfig(api_key="sk-0123456789"),
        groq=GroqConfig(api_key="sk-0123456789"),
    )
    async with LLMWrapper(config) as llm:
        await llm.prices.ready()
        response = await llm.query("Hello?", model)
        assert ("success", cost) == (response.status, response.metadata["cost_usd"])
        stats = llm.get_usage_stats()[str(response.provider)]
    assert (cost or 0.0, int(cost is None)) == (stats["cost_usd"], stats["unpriced_requests"])


@pytest.mark.asyncio
async def test_without_the_extra(
    mock_completion: CompletionDouble, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything works, costs are not known but for the table, and nothing is said about it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "genai_prices"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    config = WrapperConfig(prices={"own": {"input": 1, "output": 2}}, openai=OpenAIConfig(api_key="sk-0123456789"))
    async with LLMWrapper(config) as llm:
        found = [await llm.query("Hello?", model) for model in ("gpt-4o", "openai/own")]
        stats = llm.get_usage_stats()["openai"]
    assert [None, 0.00005] == [response.metadata["cost_usd"] for response in found]
    assert (2, 60, 1, 0.00005) == (
        stats["requests"], stats["tokens"], stats["unpriced_requests"], stats["cost_usd"]
    )  # fmt: skip
    assert "" == caplog.text


@pytest.mark.parametrize("bad", [{"gpt-4o": {"input": 1}}, {"gpt-4o": {"input": -1, "output": 1}}, [1]])
def test_a_bad_table_is_refused(bad: Any) -> None:
    """When it is set, under the name of the field."""
    with pytest.raises(ValueError, match=r"^WrapperConfig\.prices"):
        WrapperConfig(prices=bad)


# --- the ledger -------------------------------------------------------------------------------------------------


def rows(file: Path) -> list[dict[str, Any]]:
    """In the order of writing."""
    with closing(open_file(str(file))) as connection:
        cursor = connection.execute("SELECT * FROM calls ORDER BY id")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def test_a_row_for_each_call(tmp_path: Path) -> None:
    """With what is in the response: an answer, a stream, a fallback, a hit, a failure, one refused, one abandoned."""
    file = tmp_path / "usage.db"
    stage = Stage(
        a=[ok(delay=1, headers={"x-request-id": "req-1"}), ok(pause=1), status(500), status(429), SILENT],
        b=[ok(delay=2), status(401)],
    )
    tags = {"team": "search"}

    async def play(llm: LLMWrapper) -> list[Response]:
        found = [
            await asked(llm, tags=tags),
            await streamed(llm, cache=False),
            await asked(llm, cache=False, fallbacks=["b/m"]),
            await asked(llm),
            await asked(llm, cache=False),
            await asked(llm, temperature="hot"),
        ]
        async with llm.stream("Hello?", "a/m", cache=False) as stream:
            task = asyncio.create_task(anext(stream))
            await asyncio.sleep(3)
        with pytest.raises(StopAsyncIteration):
            await task
        await llm.aclose()
        return [*found, stream.response]

    responses, _ = played(stage, play, enable_caching=True, ledger=f"sqlite:///{file}")
    found = rows(file)

    assert [
        ("success", "a", 0, 0, 1, Decimal("0.000007")),
        ("success", "a", 1, 0, 1, Decimal("0.000007")),
        ("success", "b", 0, 0, 2, Decimal("0.0007")),
        ("success", "a", 0, 1, 0, None),
        ("error", "a", 0, 0, 1, None),
        ("error", "a", 0, 0, 0, None),
        ("abandoned", "a", 1, 0, 1, None),
    ] == [
        (
            *(row[name] for name in ("status", "provider", "streamed", "cached", "attempts")),
            None if row["cost_usd"] is None else Decimal(row["cost_usd"]),
        )
        for row in found
    ]
    for row, response in zip(found, responses, strict=True):
        facts = response.metadata
        assert (response["timestamp"], facts["response_time"], facts["time_to_first_token"]) == (
            row["time"],
            row["response_time"],
            row["time_to_first_token"],
        )
        assert ("a/m", "m", facts["request_id"]) == (row["asked"], row["model"], row["request_id"])
        if row["status"] == "error":
            assert (response.error_type, facts["code"], facts["status_code"]) == (
                row["error_type"],
                row["code"],
                row["status_code"],
            )
    assert [3, 3, 3, None, None, None, None] == [row["input_tokens"] for row in found]
    assert [json.dumps(tags, separators=(",", ":")), *[None] * 6] == [row["tags"] for row in found]
    assert ["req-1", "stop"] == [found[0]["request_id"], found[0]["finish_reason"]]
    assert [None, None, True, None, None, None, None] == [row["shares"] and True for row in found]
    assert [
        {"provider": "a", "model": "m", "error_type": "server_error", "attempts": 1, "retries": 0, "hedges": 0},
        {"provider": "b", "model": "m", "seconds": 2.0, "input_tokens": 3, "output_tokens": 2, "total_tokens": 5,
         "cost_usd": "0.000700", "attempts": 1, "retries": 0, "hedges": 0},
    ] == [
        {k: round(v, 9) if k == "seconds" else v for k, v in share.items() if k != "seconds" or v}
        for share in json.loads(found[2]["shares"])
    ]  # fmt: skip


@pytest.mark.asyncio
async def test_it_opens_anew(mock_completion: CompletionDouble, tmp_path: Path) -> None:
    """A call after `aclose()` is in the file after the next one; nothing is written by a wrapper that asks nothing."""
    file = tmp_path / "usage.db"
    llm = LLMWrapper(config_with(file))
    await llm.aclose()
    assert not file.exists()
    for number in (1, 2, 3):
        await llm.query(f"Hello {number}", "gpt-4o")
        await llm.aclose()
        await llm.aclose()
        assert number == len(rows(file))


@pytest.mark.asyncio
async def test_two_wrappers_write_to_one_file(mock_completion: CompletionDouble, tmp_path: Path) -> None:
    """Every call is there once."""
    file = tmp_path / "usage.db"
    async with LLMWrapper(config_with(file)) as one, LLMWrapper(config_with(file)) as other:
        for number in range(20):
            await asyncio.gather(*(llm.query(f"Hello {number}", "gpt-4o") for llm in (one, other)))
    assert [40, 40] == [len(rows(file)), len({(row["id"]) for row in rows(file)})]


def config_with(file: Path) -> WrapperConfig:
    return WrapperConfig(openai=OpenAIConfig(api_key="sk-0123456789"), ledger=f"sqlite:///{file}")


@pytest.mark.parametrize("bad", ["mysql://u:secret@h/db", "sqlite:///", "sqlite:///x.db?mode=ro"])
def test_a_bad_url_is_refused(bad: str) -> None:
    """When the wrapper is built at the latest, under the name of the field, and without what stands in it."""
    with pytest.raises(ValueError, match=r"^WrapperConfig\.ledger") as caught:
        LLMWrapper(WrapperConfig(ledger=bad))
    assert "secret" not in str(caught.value)


PROGRAM = """
import asyncio, sys
from multi_llm_wrapper import LLMWrapper, OpenAIConfig, WrapperConfig
from multi_llm_wrapper.simulator import MemoryTransport

config = WrapperConfig(openai=OpenAIConfig(api_key="sk-1", base_url="http://s/v1"), ledger=sys.argv[1])
llm = LLMWrapper(config, transport=MemoryTransport())

async def main():
    for n in range(3):
        await llm.query(f"Hello {n}", "gpt-4o")

asyncio.run(main())
if sys.argv[2] == "raise":
    raise SystemExit(3)
"""


@pytest.mark.parametrize("end", ["return", "raise"])
def test_a_program_that_closes_nothing(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has its rows in the file when it has ended, and ends as it would have without."""
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)  # it has a SQLite file of its own
    file = tmp_path / "usage.db"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, f"sqlite:///{file}", end], capture_output=True, timeout=50
    )
    assert ({"return": 0, "raise": 3}[end], b"") == (done.returncode, done.stderr)
    assert ["success"] * 3 == [row["status"] for row in rows(file)]
