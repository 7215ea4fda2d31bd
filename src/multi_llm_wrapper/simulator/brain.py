"""The simulated provider itself, without I/O: a request goes in, a plan of what to send when comes out.

It speaks the server side of the dialects, so it cannot drift from the client unnoticed; what it answers is a pure
function of the request and `seed`, what it refuses is what the real APIs refuse, in their own shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from msgspec import structs

from .. import dialects
from ..dialects import shape
from ..dialects.base import Dialect, Encoder
from ..errors import LLMError
from ..types import ChatRequest, Reply
from . import answers, models, refusals, routes
from .answers import Draft
from .dice import Dice
from .journal import Journal, JournalEntry
from .native import signed_turn
from .plan import Plan, SimRequest, Step, whole
from .routes import Route
from .scripts import Make, Match, Override, Scripts

MAX_BODY_BYTES = 32 * 1024 * 1024
CREATED = 1_767_225_600
"""Unix seconds that every answer was made at: answers hang on nothing but request and seed."""

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_REPLY_IDS = {"openai_chat": "chatcmpl-", "anthropic_messages": "msg_", "gemini": ""}
_CALL_IDS = {"openai_chat": "call_", "anthropic_messages": "toolu_", "gemini": ""}
_REQUEST_ID_HEADERS = {"openai_chat": "x-request-id", "anthropic_messages": "request-id"}


class Brain:
    """One simulated host of all dialects.

    `seed` decides what is said. `pace` is the time between two pieces of a stream and `first_token` the time before
    the first, in seconds; an answer in one piece takes as long as its stream would have taken. Bodies of more than
    `max_body` bytes are refused. `clock` gives unix seconds and serves for the journal alone.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        pace: float = 0.0,
        first_token: float = 0.0,
        max_body: int = MAX_BODY_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.seed = seed
        self.pace = pace
        self.first_token = first_token
        self.max_body = max_body
        self.journal = Journal()
        self._clock = clock
        self._initial = (seed, pace, first_token)
        self._scripts = Scripts()

    def handle(self, request: SimRequest) -> Plan:
        """The reply to a request; both are in the journal."""
        return self._journaled(request, self._reply)

    def too_large(self, head: SimRequest) -> Plan:
        """The reply to a request whose body was not read to its end, having more than `max_body` bytes."""

        def refuse(request: SimRequest, route: Route, entry: JournalEntry) -> Plan:
            return self._refuse(refusals.too_large(self.max_body), entry)

        return self._journaled(head, refuse)

    def base_url(self, origin: str, dialect: str) -> str:
        """The base URL for a client of a dialect or provider (`openai`, `anthropic`, `gemini`, `groq`) at `origin`.
        Raises `ValueError` for another name."""
        if dialect not in routes.BASE_PATHS:
            raise ValueError(f"the simulator does not speak {dialect!r}; it speaks {', '.join(routes.BASE_PATHS)}")
        return origin + routes.BASE_PATHS[dialect]

    def reset(self) -> None:
        """As new: an empty journal, no scripts, the options it was made with."""
        self.seed, self.pace, self.first_token = self._initial
        self._scripts.clear()
        self.journal.clear()

    # --- scripts ------------------------------------------------------------------------------------------------

    def script(self, make: Make, *, match: Match | None = None, times: int | None = 1) -> Override:
        """Lets `make` answer the next `times` requests (None: all) that `match` accepts (None: every one).

        Of several, the one scripted first comes first, until it is used up; what none is for gets a healthy answer.
        """
        return self._scripts.add(Override(make, match, times))

    def replay(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        chunks: list[bytes] | None = None,
        match: Match | None = None,
        times: int | None = 1,
    ) -> Override:
        """Scripts a recorded reply, byte for byte: `body` in one piece, or a stream of `chunks` at `pace`. The shell
        frames it anew, so headers like Content-Length are left out."""
        recorded = {name.lower(): value for name, value in headers.items()}

        def make(request: SimRequest) -> Plan:
            if chunks is None:
                return whole(status, recorded, body, self.first_token)
            first, pace = self.first_token, self.pace
            return Plan(status, recorded, [Step(pace if i else first, chunk) for i, chunk in enumerate(chunks)])

        return self.script(make, match=match, times=times)

    # --- routes -------------------------------------------------------------------------------------------------

    def _journaled(self, request: SimRequest, reply: Callable[[SimRequest, Route, JournalEntry], Plan]) -> Plan:
        entry = self.journal.add(request, self._clock())
        route = routes.find(request.path, request.headers)
        entry.dialect = route.dialect
        entry.request_id = f"req_{Dice(self.seed, entry.number).digest}"
        override = self._scripts.take(request) if self._scripts else None
        plan = reply(request, route, entry) if override is None else override.make(request)
        entry.status = plan.status
        plan.entry = entry
        self.journal.changed()
        return plan

    def _reply(self, request: SimRequest, route: Route, entry: JournalEntry) -> Plan:
        try:
            if len(request.body) > self.max_body:
                raise refusals.too_large(self.max_body)
            if request.method == "OPTIONS":
                return whole(204, {"allow": "GET, HEAD, POST, OPTIONS"}, b"")
            if route.kind == "unknown":
                raise refusals.unknown_path(request, route.dialect)
            if request.method not in (("POST",) if route.kind == "chat" else ("GET", "HEAD")):
                raise refusals.wrong_method(request, "POST" if route.kind == "chat" else "GET")
            if route.kind == "health":
                return whole(200, _JSON, b'{"status":"ok"}')
            refusals.check_key(request, route.dialect)
            return self._chat(request, route, entry) if route.kind == "chat" else self._models(route, entry)
        except LLMError as error:
            return self._refuse(error, entry)

    def _chat(self, request: SimRequest, route: Route, entry: JournalEntry) -> Plan:
        dialect = dialects.get(route.dialect)
        path = f"{route.path}?{request.query}" if request.query else route.path
        asked = dialect.decode_request(path, request.headers, request.body)
        entry.model, entry.stream = asked.model, asked.stream
        if not models.known(route.dialect, asked.model):
            raise refusals.unknown_model(route.dialect, asked.model)
        made = answers.draft(asked, self.seed, _CALL_IDS[route.dialect])
        reply = _reply(
            asked, made, route.dialect, shown=bool(made.reasoning) and _shows_reasoning(asked, request, route)
        )
        if asked.stream:
            encoder = _encoder(dialect, reply, request.body)
            return Plan(200, _SSE | _ids(entry), self._stream(encoder, reply, made))
        wire = dialect.encode_reply(reply, created=CREATED)
        delay = self.first_token + self.pace * max(0, made.output_tokens - 1)
        return whole(wire.status, wire.headers | _ids(entry), wire.body, delay)

    def _stream(self, encoder: Encoder, reply: Reply, made: Draft) -> Iterator[Step]:
        """A step for every piece. What the protocol or the provider holds back takes its time all the same."""
        pace = self.pace
        delay, before = self.first_token - pace, encoder.start()
        for event, size in answers.events(reply, made):
            delay += pace * size
            if data := before + encoder.event(event):
                yield Step(max(delay, 0.0), data)
                delay, before = 0.0, b""
        end = encoder.end(reply.finish_reason or "stop", reply.usage, reply.provider_finish_reason)
        yield Step(max(delay, 0.0), before + end)

    def _models(self, route: Route, entry: JournalEntry) -> Plan:
        if route.model is None:
            body = models.listing(route.dialect, CREATED)
        elif models.known(route.dialect, route.model):
            body = models.describe(route.dialect, route.model, CREATED)
        else:
            raise refusals.unknown_model(route.dialect, route.model)
        return whole(200, _JSON | _ids(entry), shape.encode(body))

    def _refuse(self, error: LLMError, entry: JournalEntry) -> Plan:
        """The error in the provider's own shape."""
        error.request_id = entry.request_id
        wire = dialects.get(entry.dialect or "openai_chat").encode_error(error)
        return whole(wire.status, wire.headers | _ids(entry), wire.body)


def _shows_reasoning(asked: ChatRequest, request: SimRequest, route: Route) -> bool:
    """Gemini's models when the request says so, others as the model has it."""
    if route.dialect == "gemini":
        from ..dialects import gemini

        return gemini.wants_thoughts(request.body)
    return not models.hides_reasoning(route.dialect, asked.model)


def _reply(asked: ChatRequest, made: Draft, dialect: str, shown: bool) -> Reply:
    """The draft as a whole answer. `shown`: with its reasoning, of which there is some."""
    extras = {}
    if made.stopped_by is not None and dialect == "anthropic_messages":
        extras["stop_sequence"] = made.stopped_by
    reasoning, content = "".join(made.reasoning), "".join(made.text)
    return Reply(
        content=content,
        reasoning=reasoning if shown else None,
        tool_calls=made.calls,
        finish_reason=made.finish,
        provider_finish_reason="stop_sequence" if made.stopped_by is not None else None,
        usage=answers.usage(asked, made),
        response_id=_REPLY_IDS[dialect] + made.id,
        response_model=asked.model,
        native=signed_turn(dialect, reasoning, content, made.calls, shown) if reasoning else None,
        extras=extras,
    )


def _ids(entry: JournalEntry) -> dict[str, str]:
    """The header with the request's id; Gemini has none."""
    name = _REQUEST_ID_HEADERS.get(entry.dialect or "")
    return {name: entry.request_id} if name and entry.request_id else {}


def _encoder(dialect: Dialect, reply: Reply, body: bytes) -> Encoder:
    """Anthropic tells the input tokens at the start; with OpenAI the request says whether there is usage at all."""
    response_id, model = reply.response_id or "", reply.response_model or ""
    if dialect.name == "anthropic_messages":
        from ..dialects import anthropic_messages

        known = structs.replace(reply.usage, reasoning_tokens=None) if reply.usage else None
        return anthropic_messages.encoder(response_id=response_id, model=model, created=CREATED, usage=known)
    include_usage = True
    if dialect.name == "openai_chat":
        from ..dialects import openai_chat

        include_usage = b"include_usage" in body and openai_chat.wants_usage(body)
    return dialect.encoder(response_id=response_id, model=model, created=CREATED, include_usage=include_usage)
