"""One attempt over a real socket: what comes back, in whatever state, is an answer or one classed error, in time."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from multi_llm_wrapper import (
    AnthropicConfig,
    GeminiConfig,
    LLMWrapper,
    Response,
    Timeouts,
    WrapperConfig,
    attempt,
    dialects,
)
from multi_llm_wrapper.types import Reply, ToolCall, Usage
from tests.servers import (
    CLOSE,
    HANG,
    KEY,
    LAST_CHUNK,
    PROMPTLY,
    RESET,
    RawServer,
    Step,
    begun,
    chunk,
    completion,
    compressed,
    config,
    error_body,
    head,
    serve,
    stream,
    whole,
)

pytestmark = pytest.mark.asyncio

SHORT = 0.05
"""A limit in seconds that is meant to be reached."""
LONG = 5.0
"""What nothing here takes that is bounded by `SHORT`, on a busy machine either."""


async def ask(server: RawServer, **options: Any) -> Response:
    settings = {name: options.pop(name) for name in ("timeouts", "max_retries") if name in options}
    async with LLMWrapper(config(server, **settings)) as llm:
        response: Response = await llm.query("Hello", "gpt-4o", **options)
        return response


async def reply_to(*steps: Step, **options: Any) -> Response:
    async with serve(steps) as server:
        return await ask(server, **options)


def now() -> float:
    return asyncio.get_running_loop().time()


def failure(response: Response) -> tuple[str, str | None, str | None, bool]:
    facts = response["metadata"]
    return response["status"], response["error_type"], facts["code"], facts["retryable"]


# --- answers ----------------------------------------------------------------------------------------------------


async def test_an_answer() -> None:
    """Every field of the contract, from the bytes that OpenAI sends."""
    headers = {"x-request-id": "req_1", "x-ratelimit-remaining-requests": "99", "x-ratelimit-reset-requests": "8.64s"}
    response = await reply_to(*whole(completion(), headers=headers))

    facts = response.pop("metadata")
    assert response.pop("timestamp") > 1_700_000_000
    assert {
        "status": "success",
        "content": "Hello you",
        "provider": "openai",
        "model": "gpt-4o",
        "tool_calls": [],
        "reasoning": None,
        "error": None,
        "error_type": None,
    } == response
    assert 0 < facts.pop("response_time") < LONG
    assert facts.pop("cost_usd") > 0
    [detail] = facts.pop("attempts_detail")
    told = {"provider": "openai", "model": "gpt-4o", "error_type": None, "status_code": 200, "wait": None}
    assert told.items() <= detail.items()
    assert 0 < detail["duration"] < LONG
    assert {
        "time_to_first_token": None,
        "usage": {
            "input_tokens": 3,
            "output_tokens": 2,
            "total_tokens": 5,
            "cache_read_tokens": None,
            "cache_write_tokens": None,
            "reasoning_tokens": None,
        },
        "raw_usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "finish_reason": "stop",
        "provider_finish_reason": "stop",
        "response_model": "gpt-4o-2024-08-06",
        "request_id": "req_1",
        "response_id": "chatcmpl-1",
        "attempts": 1,
        "cached": False,
        "dropped_params": [],
        "provider_data": {},
        "rate_limit": {
            "limit_requests": None,
            "remaining_requests": 99,
            "reset_requests": 8.64,
            "limit_tokens": None,
            "remaining_tokens": None,
            "reset_tokens": None,
        },
    } == facts


PROVIDERS: dict[str, tuple[str, str, Callable[[RawServer], WrapperConfig]]] = {
    "openai": ("openai_chat", "gpt-4o", config),
    "anthropic": (
        "anthropic_messages",
        "claude-sonnet-4-5",
        lambda server: WrapperConfig(anthropic=AnthropicConfig(api_key=KEY, base_url=server.url)),
    ),
    "gemini": (
        "gemini",
        "gemini-2.5-flash",
        lambda server: WrapperConfig(gemini=GeminiConfig(api_key=KEY, base_url=server.url)),
    ),
}
"""Provider -> its dialect, a model of its, and a configuration that leads to a server."""


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_one_answer_reads_the_same_from_every_provider(provider: str) -> None:
    """Text and a tool call, in the words of each protocol."""
    name, model, configured = PROVIDERS[provider]
    arguments = '{"city":"Paris"}'
    wanted = Reply(
        content="Let me see.",
        tool_calls=[ToolCall("call_1", "weather", arguments)],
        finish_reason="tool_calls",
        usage=Usage(input_tokens=11, output_tokens=7, total_tokens=18),
        response_id="id_1",
        response_model=model,
    )
    wire = dialects.get(name).encode_reply(wanted, created=1)
    async with serve(whole(wire.body, wire.status, wire.headers)) as server, LLMWrapper(configured(server)) as llm:
        response = await llm.query("Hello", model)

    assert "success" == response.status, response.error
    assert ("Let me see.", provider, model) == (response.content, response.provider, response.model)
    call = response.tool_calls[0]
    assert ("weather", {"city": "Paris"}, json.loads(arguments)) == (
        call["name"],
        call["arguments"],
        json.loads(call["arguments_raw"]),
    )
    assert "tool_calls" == response.finish_reason
    assert response.usage is not None
    assert (11, 7, 18) == tuple(response.usage[f"{kind}_tokens"] for kind in ("input", "output", "total"))


async def test_what_is_not_known_is_kept() -> None:
    """Fields, finish reasons and headers that nobody has heard of are no error, and not lost."""
    answer = completion(finish="sudden_insight", mood="good", message={"aura": {"colour": "blue"}})
    response = await reply_to(*whole(answer, headers={"x-new": "1"}))

    assert ("success", "Hello you", "other") == (response.status, response.content, response.finish_reason)
    assert "sudden_insight" == response.metadata["provider_finish_reason"]
    assert {"mood": "good", "aura": {"colour": "blue"}} == response.metadata["provider_data"]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(whole(completion(), headers={"content-type": "text/html"}), id="wrong content type"),
        pytest.param(whole(completion(), headers={"content-type": ""}), id="no content type"),
        pytest.param(whole(b"\n\n  " + json.dumps(completion()).encode() + b"\n"), id="blank lines"),
        pytest.param(compressed(json.dumps(completion()).encode(), "gzip"), id="gzip"),
        pytest.param(compressed(json.dumps(completion()).encode(), "deflate"), id="deflate"),
        pytest.param(stream(json.dumps(completion()).encode()), id="chunked"),
        pytest.param(whole(completion(), status=201), id="another 2xx"),
        pytest.param(
            [head(), *(chunk(bytes([byte])) for byte in json.dumps(completion()).encode()), LAST_CHUNK],
            id="byte by byte",
        ),
    ],
)
async def test_an_answer_in_an_odd_dress(steps: list[Step]) -> None:
    """What the body says counts, not its content type, its encoding or the pieces it comes in."""
    response = await reply_to(*steps)
    assert ("success", "Hello you") == (response.status, response.content)


async def test_keep_raw_keeps_the_bytes() -> None:
    """As they were sent, and only for those who want them."""
    body = json.dumps(completion()).encode()
    assert body.decode() == (await reply_to(*whole(body), keep_raw=True)).metadata["raw"]
    assert "raw" not in (await reply_to(*whole(body))).metadata


# --- what is no answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "error_type", "code", "said"),
    [
        pytest.param(whole(b"OK"), "malformed_response", "invalid_json", "starts with 'OK'", id="no JSON"),
        pytest.param(
            whole(b"<html><title>Sign in</title>", headers={"content-type": "text/html"}),
            "malformed_response",
            "invalid_json",
            "<html>",
            id="HTML",
        ),
        pytest.param(whole(b""), "malformed_response", "invalid_json", "", id="empty"),
        pytest.param([head(204, chunked=False)], "malformed_response", "invalid_json", "", id="204"),
        pytest.param(whole(b"\xff\xfe{}"), "malformed_response", "invalid_json", "", id="no UTF-8"),
        pytest.param(whole(b"[" * 100_000), "malformed_response", "invalid_json", "", id="nested"),
        pytest.param(whole({"invalid": "response"}), "malformed_response", "no_choices", "choices", id="no choices"),
        pytest.param(whole({"choices": 1}), "malformed_response", "unexpected_shape", "choices", id="wrong type"),
        pytest.param(whole({"choices": []}), "empty_response", "no_answer", "", id="empty choices"),
        pytest.param(whole(error_body(code="x")), "server_error", "x", "Something broke", id="error inside 200"),
        pytest.param([head(304, chunked=False)], "validation_error", None, "HTTP 304", id="304"),
        pytest.param(
            whole(b"", 301, {"location": "https://api.example.com/v2"}),
            "validation_error",
            None,
            "redirects to https://api.example.com/v2",
            id="301",
        ),
        pytest.param(
            [head(headers={"content-length": "999"}, chunked=False), b'{"choices": [', CLOSE],
            "connection_error",
            "broken",
            "broke while the reply was read",
            id="shorter than announced",
        ),
        pytest.param(
            [head(), chunk(b'{"choices": ['), CLOSE], "connection_error", "broken", "broke", id="no last chunk"
        ),
        pytest.param([head(), chunk(b'{"choices": ['), 0.02, RESET], "connection_error", "broken", "", id="reset"),
        pytest.param([CLOSE], "connection_error", "disconnected", "before it answered", id="no reply"),
        pytest.param(
            whole(b"\x1f\x8b\x08 no gzip at all", headers={"content-encoding": "gzip"}),
            "connection_error",
            "bad_encoding",
            "decompressed",
            id="broken gzip",
        ),
        pytest.param(
            whole(gzip.compress(json.dumps(completion()).encode())[:60], headers={"content-encoding": "gzip"}),
            "malformed_response",
            "invalid_json",
            "",
            id="half a gzip",
        ),
    ],
)
async def test_what_is_no_answer_is_a_classed_error(
    steps: list[Step], error_type: str, code: str | None, said: str
) -> None:
    """With a code and words that help, after one attempt, and never with half an answer."""
    response = await reply_to(*steps)

    assert ("error", error_type, code) == failure(response)[:3]
    assert said in (response.error or "")
    assert None is response.content
    assert 1 == response.metadata["attempts"]


async def test_a_reply_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its connection closed, for nobody wants the rest."""
    monkeypatch.setattr(attempt, "MAX_REPLY_BYTES", 100_000)

    def endless(_: Any) -> Iterable[Step]:
        yield head()
        while True:
            yield chunk(b" " * 10_000)

    async with serve(endless) as server:
        response = await ask(server)
        assert ("error", "limit_exceeded", "reply_too_long", False) == failure(response)
        assert "100,000 bytes" in (response.error or "")
        await server.left()


async def test_a_bomb_is_measured_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte that arrives as one kilobyte counts as a megabyte."""
    monkeypatch.setattr(attempt, "MAX_REPLY_BYTES", 100_000)
    response = await reply_to(*compressed(b" " * 1_000_000, "gzip"))
    assert ("error", "limit_exceeded", "reply_too_long", False) == failure(response)


async def test_a_reply_of_the_limit_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is the last that is allowed, whether it was announced or comes in chunks."""
    body = json.dumps(completion()).encode()
    monkeypatch.setattr(attempt, "MAX_REPLY_BYTES", len(body))
    assert "success" == (await reply_to(*whole(body))).status
    assert "success" == (await reply_to(*stream(body[:9], body[9:]))).status


# --- errors of the provider -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error_type"),
    [
        (400, error_body("Bad", "invalid_request_error"), "validation_error"),
        (401, error_body("Bad key", "invalid_request_error", "invalid_api_key"), "auth_error"),
        (404, error_body("No model", "invalid_request_error", "model_not_found"), "model_not_found"),
        (429, error_body("Slow down", "requests", "rate_limit_exceeded"), "rate_limit"),
        (429, error_body("Pay", "insufficient_quota", "insufficient_quota"), "quota_exceeded"),
        (500, error_body(), "server_error"),
        (503, b"upstream connect error", "overloaded"),
        (502, b"<html><h1>502 Bad Gateway</h1></html>", "server_error"),
        (504, b"", "timeout"),
    ],
)
async def test_an_error_has_its_class_and_its_facts(status: int, body: Any, error_type: str) -> None:
    """Status and body make the class; the request's id and who refused it are told, and there is no answer."""
    response = await reply_to(*whole(body, status, {"x-request-id": "req_9"}))

    facts = response.metadata
    assert ("error", error_type) == failure(response)[:2]
    assert (status, "req_9") == (facts["status_code"], facts["request_id"])
    assert ("provider" if status < 500 else None) == facts["rejected_by"]
    assert (None, None) == (response.content, facts["usage"])


async def test_a_huge_error_body_is_not_read_to_its_end() -> None:
    """The status says enough; the connection is closed."""

    def endless(_: Any) -> Iterable[Step]:
        yield head(400)
        while True:
            yield chunk(b"no " * 30_000)

    async with serve(endless) as server:
        response = await ask(server)
        assert ("error", "validation_error") == failure(response)[:2]
        await server.left()
        assert server.connections[0].sent < 20 * attempt.MAX_ERROR_BYTES


@pytest.mark.parametrize("end", [CLOSE, HANG])
async def test_an_error_body_without_its_end_still_has_its_class(end: Step) -> None:
    """What came of it is used: a 429 is no broken connection because its body was cut or never ended."""
    began = json.dumps(error_body("Slow down", code="rate_limit_exceeded")).encode()
    steps = [head(429, {"retry-after": "7"}), chunk(began), end]
    response = await reply_to(*steps, timeouts=Timeouts(idle=SHORT))

    assert ("error", "rate_limit", "rate_limit_exceeded", True) == failure(response)
    assert 7.0 == response.metadata["retry_after"]


# --- time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"timeout": SHORT}, "within the time of the call"),
        ({"timeouts": Timeouts(total=SHORT)}, "within the time of the call"),
        ({"timeouts": Timeouts(attempt=SHORT)}, "within the time of the call"),
    ],
)
async def test_a_server_that_does_not_answer(limits: dict[str, Any], said: str) -> None:
    """The call ends in time, and the connection with it."""
    async with serve([HANG]) as server:
        began = now()
        response = await ask(server, **limits)
        assert SHORT <= now() - began < LONG
        assert ("error", "timeout", "attempt_timeout", True) == failure(response)
        assert said in (response.error or "")
        assert await server.left() - began < SHORT + LONG


async def test_silence_in_the_middle_of_a_body() -> None:
    """The idle limit ends the call and its connection, and the message says how long nothing came."""
    async with serve([head(), chunk(b'{"choices": ['), HANG]) as server:
        began = now()
        response = await ask(server, timeouts=Timeouts(idle=SHORT))
        assert SHORT <= now() - began < LONG
        assert ("error", "timeout", "idle_timeout", True) == failure(response)
        assert "sent nothing for 0.05 s" in (response.error or "")
        await server.left()


async def test_the_idle_limit_waits_for_the_head() -> None:
    """A model may think before it answers a query: only the body has to flow."""
    response = await reply_to(3 * SHORT, *whole(completion()), timeouts=Timeouts(idle=SHORT))
    assert "success" == response.status


async def test_a_slow_and_steady_body_is_read() -> None:
    """The idle limit counts from one piece to the next."""
    body = json.dumps(completion()).encode()
    pieces: list[Step] = []
    for at in range(0, len(body), len(body) // 5):
        pieces += [0.04, chunk(body[at : at + len(body) // 5])]
    response = await reply_to(head(), *pieces, LAST_CHUNK, timeouts=Timeouts(idle=0.12))
    assert "success" == response.status
    assert response.metadata["response_time"] > 0.15


async def test_a_body_that_trickles_for_ever_ends_with_the_attempt() -> None:
    """Each byte begins the idle limit anew, but not that of the attempt."""

    def trickle(_: Any) -> Iterable[Step]:
        yield head()
        while True:
            yield chunk(b" ")
            yield 0.01

    async with serve(trickle) as server:
        began = now()
        response = await ask(server, timeouts=Timeouts(idle=1, attempt=3 * SHORT))
        assert 3 * SHORT <= now() - began < LONG
        assert ("error", "timeout", "attempt_timeout", True) == failure(response)
        await server.left()


async def test_a_tls_server_that_does_not_shake_hands() -> None:
    """The handshake is part of connecting and ends with that limit."""
    async with (
        serve([HANG]) as server,
        LLMWrapper(
            config(server, base_url=f"https://127.0.0.1:{server.port}/v1", timeouts=Timeouts(connect=SHORT))
        ) as llm,
    ):
        began = now()
        response = await llm.query("Hello", "gpt-4o")
        assert now() - began < LONG
        assert ("error", "timeout", "connect_timeout", True) == failure(response)


async def test_a_cancelled_query_closes_its_connection() -> None:
    """While it waits for the head, and in the middle of the body; whoever cancelled sees a `CancelledError`."""
    for steps in ([HANG], [*begun(b'{"choices": ['), HANG]):
        async with serve(steps) as server, LLMWrapper(config(server)) as llm:
            task = asyncio.create_task(llm.query("Hello", "gpt-4o"))
            await server.asked()
            await asyncio.sleep(0.01)
            task.cancel()
            cancelled = now()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await server.left() - cancelled < PROMPTLY
