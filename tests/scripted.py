"""A transport that plays a part: what each host answers is written down, and time is virtual.

    stage = Stage(a=[status(503), ok("late")], b=ok("hello"))
    response = stage.query(stage.config(fallbacks={"a/m": ["b/m"]}), model="a/m")

A host is a provider of the same name that speaks OpenAI's Chat Completions. The n-th request there gets the n-th act;
the last one serves for all that follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from multi_llm_wrapper import Chunk, LLMWrapper, OpenAICompatibleConfig, Response, WrapperConfig
from multi_llm_wrapper.errors import ConnectionError
from multi_llm_wrapper.testing.clock import VirtualClock
from multi_llm_wrapper.transport.base import HTTPRequest
from tests.servers import COUNTS, DONE, FINISH, completion, delta, error_body, sse

T = TypeVar("T")


@dataclass(frozen=True)
class Act:
    """`delay`: seconds to the head; `pause`: seconds from the head to the first content; `text` in two pieces."""

    text: str = "Hello you"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    pause: float = 0.0
    breaks: bool = False
    """The connection is refused, or breaks after the first piece of a stream."""
    calls_tool: bool = False
    silent: bool = False
    stubborn: float = 0.0
    """Seconds that it takes to cancel the request, which then has its reply all the same."""


def ok(text: str = "Hello you", **more: Any) -> Act:
    return Act(text, **more)


def status(code: int, kind: str = "", message: str = "No", **more: Any) -> Act:
    """An error reply; `wait` is its Retry-After."""
    wait = more.pop("wait", None)
    headers = {} if wait is None else {"retry-after": str(wait)}
    return Act(status=code, headers=headers, body=msgspec.json.encode(error_body(message, kind, kind or None)), **more)


SILENT = Act(silent=True)
REFUSED = Act(status=0, breaks=True)
CUT = Act(breaks=True)

FAILURES: dict[str, Act] = {
    "rate_limit": status(429, "rate_limit_exceeded"),
    "overloaded": status(529, "overloaded_error"),
    "server_error": status(500),
    "timeout": SILENT,
    "connection_error": REFUSED,
    "quota_exceeded": status(429, "insufficient_quota"),
    "auth_error": status(401, "invalid_api_key"),
    "permission_error": status(403),
    "model_not_found": status(404, "model_not_found"),
    "malformed_response": Act(status=200, body=b"{ no json"),
    "empty_response": Act(status=200, body=b'{"id": "x", "choices": []}'),
    "context_length_exceeded": status(400, "context_length_exceeded"),
    "request_too_large": status(413),
    "content_filter": status(400, "content_filter"),
    "validation_error": status(400, "invalid_request_error"),
}
"""How a provider fails with each class."""


@dataclass
class Asked:
    """One request, as it came to a host."""

    host: str
    at: float
    request: HTTPRequest
    closed: float | None = None
    """When its connection was closed by the client before the end of the reply."""

    @property
    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = msgspec.json.decode(self.request.body)
        return body


class Stage:
    """The transport, its clock, and the journal of what was asked."""

    def __init__(self, **hosts: Act | Sequence[Act] | Callable[[float], Act]) -> None:
        self.clock = VirtualClock()
        self.asked: list[Asked] = []
        self.hosts = hosts
        self._turns: dict[str, int] = {}

    # --- a transport --------------------------------------------------------------------------------------------

    async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> _Reply:
        host = str(urlsplit(request.url).hostname)
        asked = Asked(host, self.clock.monotonic(), request)
        self.asked.append(asked)
        act = self._act(host)
        try:
            await asyncio.sleep(act.delay)
            if act.silent:
                await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            if not act.stubborn:
                asked.closed = self.clock.monotonic()
                raise
            await asyncio.sleep(act.stubborn)
        if act.status == 0:
            raise ConnectionError("The connection was refused.", code="refused")
        return _Reply(self, asked, act, asked.json.get("stream") is True)

    async def aclose(self) -> None:
        pass

    def _act(self, host: str) -> Act:
        acts = self.hosts[host]
        if isinstance(acts, Act):
            return acts
        if callable(acts):
            return acts(self.clock.monotonic())
        turn = self._turns[host] = self._turns.get(host, -1) + 1
        return acts[min(turn, len(acts) - 1)]

    # --- for tests ----------------------------------------------------------------------------------------------

    @property
    def order(self) -> str:
        """The hosts in the order in which they were asked."""
        return "".join(asked.host for asked in self.asked)

    def config(self, **settings: Any) -> WrapperConfig:
        """Every host as a provider; no cache and no hedges unless said otherwise."""
        providers = {
            host: OpenAICompatibleConfig(base_url=f"http://{host}/v1", api_key=f"secret-{host}-0123456789")
            for host in self.hosts
        }
        return WrapperConfig(
            **{"providers": providers, "enable_caching": False, "hedge_after": None, "max_retries": 0, **settings}
        )

    def wrapper(self, config: WrapperConfig) -> LLMWrapper:
        return LLMWrapper(config, transport=self, clock=self.clock)

    def run(self, config: WrapperConfig, play: Callable[[LLMWrapper], Awaitable[T]]) -> T:
        """`play` with a wrapper; nothing of ours is left running after it."""

        async def main() -> T:
            result = await play(self.wrapper(config))
            await asyncio.sleep(0.0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert set() == left
            return result

        return self.clock.run(main())

    def query(self, config: WrapperConfig, model: str = "a/m", prompt: Any = "Hello?", **options: Any) -> Response:
        async def play(llm: LLMWrapper) -> Response:
            response: Response = await llm.query(prompt, model, **options)
            return response

        return self.run(config, play)

    def stream(self, config: WrapperConfig, model: str = "a/m", **options: Any) -> tuple[list[Chunk], Response]:
        async def play(llm: LLMWrapper) -> tuple[list[Chunk], Response]:
            stream = llm.stream("Hello?", model, **options)
            return [chunk async for chunk in stream], stream.response

        return self.run(config, play)


class _Reply:
    """The reply to one request, piece by piece."""

    def __init__(self, stage: Stage, asked: Asked, act: Act, stream: bool) -> None:
        self.status = act.status
        self.headers: Mapping[str, str] = {"content-type": "application/json", **act.headers}
        self._stage = stage
        self._asked = asked
        self._pieces = self._said(act, stream)
        self._breaks = act.breaks
        self._ended = False
        self._pause = act.pause
        self._failure: Exception | None = None
        self._wake: asyncio.Future[None] | None = None

    @staticmethod
    def _said(act: Act, stream: bool) -> list[bytes]:
        if act.body and (act.status != 200 or not stream):
            return [act.body]
        if act.body:
            return [b"data: " + act.body + b"\n\n", b"data: [DONE]\n\n"]
        if not stream:
            return [msgspec.json.encode(completion(act.text))]
        middle = len(act.text) // 2
        first = sse(delta(role="assistant", content=act.text[:middle]))
        if act.calls_tool:
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}
            first = sse(delta(tool_calls=[call]))
        return [first] if act.breaks else [first, sse(delta(content=act.text[middle:]), FINISH, COUNTS, DONE)]

    @property
    def arrived(self) -> bool:
        return not self._pieces and not self._breaks

    async def next_chunk(self) -> bytes:
        if self._pause:
            self._wake = asyncio.get_running_loop().create_future()
            timer = asyncio.get_running_loop().call_later(self._pause, _set, self._wake)
            try:
                await self._wake
            finally:
                timer.cancel()
                self._pause = 0.0
        if self._failure is not None:
            raise self._failure
        if self._pieces:
            return self._pieces.pop(0)
        if self._breaks:
            raise ConnectionError("The connection broke.", code="broken")
        self._ended = True
        return b""

    def abort(self, error: Exception | None = None) -> None:
        if not self._ended and self._asked.closed is None:
            self._asked.closed = self._stage.clock.monotonic()
            self._failure = error or ConnectionError("Closed.", code="broken")
            if self._wake is not None:
                _set(self._wake)

    def finish(self) -> None:
        self._ended = True


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
