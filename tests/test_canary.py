"""A key is sent where it belongs and shows up nowhere else: not in a log, a message, a repr, a URL or a traceback."""

import asyncio
import json
import logging
import sqlite3
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import (
    AnthropicConfig,
    GeminiConfig,
    LLMError,
    LLMWrapper,
    OpenAICompatibleConfig,
    OpenAIConfig,
    ProviderConfig,
    Timeouts,
    WrapperConfig,
)
from multi_llm_wrapper.metering.prices import Prices
from multi_llm_wrapper.testing import CompletionDouble
from tests.servers import (
    CLOSE,
    HANG,
    HELLO,
    RESET,
    RawServer,
    Reply,
    Request,
    Step,
    begun,
    completion,
    delta,
    error_body,
    serve,
    sse,
    stream,
    unused_port,
    whole,
)

pytestmark = pytest.mark.asyncio

CANARY = "canary7Rk2XqPz90LmT4vB"
"""Of no vendor's form, so that nothing but the knowledge of the key itself can hide it."""
SECRET = "birdsong55Hj81"
"""Another secret that the configuration holds: in a header, or as the password of a proxy."""

PROVIDERS: dict[str, tuple[str, Callable[[str, dict[str, Any]], WrapperConfig]]] = {
    "openai": ("gpt-4o", lambda url, more: WrapperConfig(openai=OpenAIConfig(**more, base_url=f"{url}/v1"))),
    "anthropic": (
        "claude-sonnet-4-5",
        lambda url, more: WrapperConfig(anthropic=AnthropicConfig(**more, base_url=url)),
    ),
    "gemini": ("gemini-2.5-flash", lambda url, more: WrapperConfig(gemini=GeminiConfig(**more, base_url=url))),
    "local": (
        "local/llama3",
        lambda url, more: WrapperConfig(providers={"local": OpenAICompatibleConfig(**more, base_url=f"{url}/v1")}),
    ),
}


def given(request: Request) -> str:
    """The key as it came, whatever the header."""
    headers = request.headers
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or headers["authorization"].split()[1]


def echo(status: int, **fields: Any) -> Callable[[Request], list[Step]]:
    """An error that repeats the key, as some providers do."""
    return lambda request: whole(error_body(f"Incorrect API key provided: {given(request)}.", **fields), status)


def prattle(request: Request) -> list[Step]:
    """No JSON, but the key, cut off where our messages end their quotation."""
    return whole(b"You sent me " + b"x" * 54 + given(request).encode() + b" and more of that kind")


SCENES: dict[str, Reply] = {
    "an answer": whole(completion()),
    "a stream": stream(sse(*HELLO)),
    "a cut stream": [*begun(sse(delta(content="Hello"))), CLOSE],
    "bad request": echo(400),
    "bad key": echo(401, code="invalid_api_key"),
    "rate limit": echo(429),
    "server error": echo(500),
    "key in plain text": lambda request: whole(f"Who is {given(request)}?".encode(), 403),
    "key in HTML": lambda request: whole(f"<title>No {given(request)}</title>".encode(), 502),
    "key in no JSON": lambda request: whole(f"{given(request)} is not valid JSON".encode()),
    "half a key": prattle,
    "key in an error event": lambda request: stream(sse(error_body(f"No {given(request)}"))),
    "malformed": whole({"choices": 3}),
    "reset": [RESET],
    "no answer": [HANG],
    "redirect": lambda request: whole(b"", 302, {"location": f"http://127.0.0.1/?key={given(request)}"}),
}


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Everything that is said while a test runs, to be looked through at its end; a test adds what it got itself."""
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "aiohttp", "aiohttp.client", "multi_llm_wrapper"):
        caplog.set_level(logging.DEBUG, name)
    said: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield said
    said += [str(warning.message) for warning in warned]
    said += [f"{record.getMessage()} {record.args!r} {record.exc_text}" for record in caplog.records]
    said += [caplog.text, *capfd.readouterr()]
    found = "\n".join(said)
    for secret in (CANARY, SECRET, CANARY[:12]):
        assert secret not in found


def describe(thing: object) -> list[str]:
    """As a program, a debugger or a log would show it."""
    return [repr(thing), str(thing), f"{thing}", repr(getattr(thing, "__dict__", None))]


def describe_error(error: BaseException) -> list[str]:
    return [*describe(error), *traceback.format_exception(error), repr(error.__context__), repr(error.__cause__)]


async def everything(llm: LLMWrapper, model: str, said: list[str]) -> None:
    """Asks in every way there is, and keeps all that comes of it."""
    options: dict[str, Any] = {"max_retries": 1, "timeouts": Timeouts(total=0.1), "tags": {"team": "search"}}
    for prompt in ("Hello", ""):
        response = await llm.query(prompt, model, **options)
        said += [*describe(response), json.dumps(response), *describe(response.to_message())]
        try:
            await llm.query(prompt, model, raise_on_error=True, **options)
        except LLMError as error:
            said += describe_error(error)
        found = llm.stream(prompt, model, **options)
        said += [text async for chunk in found for text in describe(chunk)]
        said += [*describe(found), *describe(found.response), json.dumps(found.response)]
        try:
            async for _ in llm.stream(prompt, model, raise_on_error=True, **options):
                pass
        except LLMError as error:
            said += describe_error(error)
    said += [*describe(llm), *describe(llm.config), *describe(llm.get_usage_stats()), repr(llm.router)]
    said += [*describe(llm.get_usage_stats(by="model")), *describe(llm.get_usage_stats(by="tag"))]
    said += [text for held in (llm._cache, llm.meter, llm.prices, llm._ledger) for text in describe(held)]
    for config in llm.config.configured().values():
        said += describe_config(config)


def describe_config(config: ProviderConfig) -> list[str]:
    shown = [repr(config), str(config), repr(config.copy()), repr(config.api_key)]
    return [*shown, f"{config.api_key}", repr(vars(config)["api_key"])]


def assert_sent(server: RawServer) -> None:
    """In its own header and nowhere else; without this the test would prove nothing."""
    for request in server.requests:
        holders = [name for name, value in request.headers.items() if CANARY in value]
        assert 1 == len(holders), "the key was not sent as it should be"
        assert holders[0] in ("authorization", "x-api-key", "x-goog-api-key")
        assert CANARY not in request.target
        assert CANARY.encode() not in request.body


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("scene", SCENES)
async def test_the_key_is_not_heard_of(
    provider: str, scene: str, heard: list[str], no_backoff: None, tmp_path: Path
) -> None:
    """Nor is it in the ledger."""
    model, configured = PROVIDERS[provider]
    async with serve(SCENES[scene]) as server:
        settings = configured(server.url, {"api_key": CANARY, "headers": {"x-secret": SECRET}})
        settings.ledger = f"sqlite:///{tmp_path}/usage.db"
        async with LLMWrapper(settings) as llm:
            await everything(llm, model, heard)
        assert server.requests
        assert_sent(server)
    assert 8 == kept_in(tmp_path, heard)


def kept_in(folder: Path, said: list[str]) -> int:
    """Takes down every byte of the ledger; how many rows it has."""
    said += [file.read_bytes().decode("latin-1") for file in folder.iterdir()]
    with closing(sqlite3.connect(folder / "usage.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM calls").fetchone()[0])


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nor_when_nobody_can_be_reached(scheme: str, heard: list[str], no_backoff: None) -> None:
    """Refused, through a proxy that refuses, or with TLS where there is none."""
    async with serve([HANG]) as server:
        for port in (unused_port(), server.port):
            for proxy in (None, f"http://user:{SECRET}@127.0.0.1:{port}"):
                settings = OpenAIConfig(api_key=CANARY, base_url=f"{scheme}://127.0.0.1:{port}/v1", proxy=proxy)
                async with LLMWrapper(settings) as llm:
                    await everything(llm, "gpt-4o", heard)
                    assert 4 == llm.get_usage_stats()["openai"]["errors"], "it failed before anything was asked"


async def test_nor_when_it_comes_from_the_call_or_the_environment(
    heard: list[str], monkeypatch: pytest.MonkeyPatch, no_backoff: None
) -> None:
    """Wherever a key comes from, it reaches its server and nothing else."""
    async with serve(echo(401)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        async with LLMWrapper() as llm:
            heard += describe(await llm.query("Hello", "gpt-4o", api_key=CANARY))
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        async with LLMWrapper() as llm:
            await everything(llm, "gpt-4o", heard)
        assert_sent(server)


@pytest.mark.parametrize("bad", [f"{CANARY}\n", f" {CANARY}", f"{CANARY}ü", [CANARY]])
async def test_nor_when_it_is_refused(bad: Any, heard: list[str]) -> None:
    """A key that cannot be one is named by its place alone."""
    with pytest.raises(ValueError, match="api_key") as caught:
        OpenAIConfig(api_key=bad)
    heard += describe_error(caught.value)
    response = await LLMWrapper(OpenAIConfig(api_key="sk-other")).query("Hello", "gpt-4o", api_key=bad)
    assert "validation_error" == response.error_type
    heard += describe(response)


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError(f"{CANARY} is wrong"),
        ConnectionError(f"with {CANARY}"),
        TimeoutError(CANARY),
        LLMError(f"for {CANARY}"),
    ],
)
async def test_nor_when_a_foreign_client_says_it(
    raised: Exception, heard: list[str], mock_completion: CompletionDouble
) -> None:
    """An exception that is not ours may quote the key; what is made of it does not."""
    mock_completion.side_effect = raised
    async with LLMWrapper(OpenAIConfig(api_key=CANARY)) as llm:
        await everything(llm, "gpt-4o", heard)
        assert 4 == llm.get_usage_stats()["openai"]["errors"], "it failed before anything was asked"
    heard += [repr(mock_completion.call_args), str(mock_completion.await_args_list)]


async def test_nor_when_we_make_a_mistake(
    heard: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback in the log has our code in it, and not what it was working on."""

    def broken(*_: Any) -> Any:
        raise KeyError("a mistake")

    async with serve(whole(completion())) as server:
        monkeypatch.setattr("multi_llm_wrapper.attempt.waits.rate_limit", broken)
        async with LLMWrapper(OpenAIConfig(api_key=CANARY, base_url=f"{server.url}/v1")) as llm:
            await everything(llm, "gpt-4o", heard)
        assert_sent(server)
    assert "a mistake" in caplog.text


@pytest.mark.parametrize("broken", ["_load", "_catalogue"])
async def test_nor_when_a_cost_cannot_be_told(
    broken: str, heard: list[str], caplog: pytest.LogCaptureFixture, mock_completion: CompletionDouble
) -> None:
    """The log says whose cost it is that is not known."""

    class Broken:
        def __call__(self) -> Any:
            raise RuntimeError("no list")

        def tariff(self, *_: Any) -> Any:
            raise RuntimeError("no tariff")

    async with LLMWrapper(OpenAIConfig(api_key=CANARY)) as llm:
        llm.prices = Prices()
        setattr(llm.prices, broken, Broken())
        llm.prices.loaded = broken == "_catalogue"
        await everything(llm, "gpt-4o", heard)
    assert {"_load": "no list", "_catalogue": "cost of openai/gpt-4o"}[broken] in caplog.text


async def test_nor_in_the_objects_that_carry_it(heard: list[str]) -> None:
    """The request that goes to a transport, and the route it goes by."""
    seen: list[Any] = []

    class Keep:
        async def send(self, request: Any, *, connect_timeout: float | None = None) -> Any:
            seen.append(request)
            raise LLMError("no")

        async def aclose(self) -> None: ...

    settings = OpenAIConfig(api_key=CANARY, headers={"x-secret": SECRET}, proxy=f"http://u:{SECRET}@127.0.0.1:1")
    async with LLMWrapper(settings, transport=Keep()) as llm:
        await llm.query("Hello", "gpt-4o")
        heard += [*describe(seen[0]), *describe(llm.router.target("gpt-4o", {}))]
        call = llm.new_call("Hello", "gpt-4o", {}, stream=False)
        call.prepare()
        heard += describe(call)
    assert CANARY in seen[0].headers["authorization"]


async def test_nor_while_asyncio_debugs(heard: list[str]) -> None:
    """In debug mode asyncio logs tasks and slow callbacks with what it knows about them."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    try:
        async with serve(whole(completion()), echo(401)) as server:
            async with LLMWrapper(OpenAIConfig(api_key=CANARY, base_url=f"{server.url}/v1")) as llm:
                await everything(llm, "gpt-4o", heard)
            assert_sent(server)
    finally:
        loop.set_debug(False)


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("multi_llm_wrapper.policies.budget.FIRST_BACKOFF", 0.0)
