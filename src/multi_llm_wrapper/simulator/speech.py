"""An answer in the words of a dialect, in one piece or as a stream, with the time that each piece takes."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import structs

from ..dialects.base import Dialect, Encoder
from ..types import ChatRequest, Reply
from . import answers, models
from .answers import Draft
from .journal import JournalEntry
from .native import signed_turn
from .plan import Plan, SimRequest, Step, whole
from .routes import Route
from .timing import Pacer

CREATED = 1_767_225_600
"""Unix seconds that every answer was made at: answers hang on nothing but request and seed."""

CALL_IDS = {"openai_chat": "call_", "anthropic_messages": "toolu_", "gemini": ""}
REPLY_IDS = {"openai_chat": "chatcmpl-", "anthropic_messages": "msg_", "gemini": ""}
_REQUEST_ID_HEADERS = {"openai_chat": "x-request-id", "anthropic_messages": "request-id"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


def plan(dialect: Dialect, reply: Reply, made: Draft, stream_for: bytes | None, pacer: Pacer | None) -> Plan:
    """The answer to be sent; as a stream when `stream_for` is the body that asked for one."""
    if stream_for is not None:
        return Plan(200, dict(_SSE), _stream(_encoder(dialect, reply, stream_for), reply, made, pacer))
    wire = dialect.encode_reply(reply, created=CREATED)
    delay = pacer.tokens(made.output_tokens) if pacer is not None else 0.0
    return whole(wire.status, dict(wire.headers), wire.body, delay)


def _stream(encoder: Encoder, reply: Reply, made: Draft, pacer: Pacer | None) -> Iterator[Step]:
    """A step for every piece. What the protocol or the provider holds back takes its time all the same."""
    delay, before, begun = 0.0, encoder.start(), pacer is None
    for event, size in answers.events(reply, made):
        if pacer is not None and size:
            delay += pacer.tokens(size)
            begun = True
        before += encoder.event(event)
        if before and begun:
            yield Step(delay, before)
            delay, before = 0.0, b""
    if not begun and pacer is not None:
        delay = pacer.tokens(0)
    end = encoder.end(reply.finish_reason or "stop", reply.usage, reply.provider_finish_reason)
    yield Step(delay, before + end)


def shows_reasoning(asked: ChatRequest, request: SimRequest, route: Route) -> bool:
    """Gemini's models when the request says so, others as the model has it."""
    if route.dialect == "gemini":
        from ..dialects import gemini

        return gemini.wants_thoughts(request.body)
    return not models.hides_reasoning(route.dialect, asked.model)


def reply(asked: ChatRequest, made: Draft, dialect: str, shown: bool) -> Reply:
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
        response_id=REPLY_IDS[dialect] + made.id,
        response_model=asked.model,
        native=signed_turn(dialect, reasoning, content, made.calls, shown) if reasoning else None,
        extras=extras,
    )


def ids(entry: JournalEntry) -> dict[str, str]:
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
