"""Events in, one `Reply` out: the only place where pieces become an answer.

A reply that came in one body and a reply that came as a stream pass through the same fold, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from .types import (
    Event,
    Extra,
    Finished,
    Native,
    NativeMessage,
    ReasoningDelta,
    Reply,
    Started,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)

ReadUsage = Callable[[dict[str, Any]], Usage]


class _Call:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class Fold:
    """Gathers the events of one answer. `reply()` may be asked at any time: it gives what has come so far."""

    __slots__ = (
        "_calls",
        "_extras",
        "_finished",
        "_native",
        "_read_usage",
        "_reasoning",
        "_started",
        "_text",
        "_usage",
    )

    def __init__(self, read_usage: ReadUsage) -> None:
        self._read_usage = read_usage
        self._started: Started | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._finished: Finished | None = None
        self._usage: dict[str, Any] | None = None
        self._extras: dict[str, list[Any]] = {}  # the pieces of each, in their order
        self._native: NativeMessage | None = None

    @property
    def finished(self) -> bool:
        """The provider said why it stopped."""
        return self._finished is not None

    @property
    def started(self) -> bool:
        """Something that is part of an answer has come."""
        return self._started is not None

    def add(self, event: Event) -> None:
        _ADD[type(event)](self, event)

    def add_all(self, events: Iterable[Event]) -> Fold:
        for event in events:
            _ADD[type(event)](self, event)
        return self

    def _add_text(self, event: TextDelta) -> None:
        self._text.append(event.text)

    def _add_reasoning(self, event: ReasoningDelta) -> None:
        self._reasoning.append(event.text)

    def _add_end(self, event: Finished) -> None:
        self._finished = event

    def _add_usage(self, event: UsageReport) -> None:
        self._usage = event.raw

    def _add_native(self, event: Native) -> None:
        self._native = event.message

    def _add_start(self, event: Started) -> None:
        before = self._started
        if before is not None:
            event = Started(before.response_id or event.response_id, before.response_model or event.response_model)
        self._started = event

    def _add_call(self, event: ToolCallDelta) -> None:
        call = self._calls.get(event.index)
        if call is None:
            call = self._calls[event.index] = _Call()
        call.id = call.id or event.id or ""
        call.name = call.name or event.name or ""
        if event.arguments:
            call.arguments.append(event.arguments)

    def _add_extra(self, event: Extra) -> None:
        self._extras.setdefault(event.name, []).append(event.value)

    def reply(self) -> Reply:
        finished, started = self._finished, self._started
        return Reply(
            content="".join(self._text),
            reasoning="".join(self._reasoning) if self._reasoning else None,
            tool_calls=[
                ToolCall(call.id, call.name, "".join(call.arguments)) for _, call in sorted(self._calls.items())
            ],
            finish_reason=finished.reason if finished else None,
            provider_finish_reason=finished.provider_reason if finished else None,
            usage=reported(self._read_usage(self._usage)) if self._usage is not None else None,
            raw_usage=self._usage,
            response_id=started.response_id if started else None,
            response_model=started.response_model if started else None,
            native=self._native,
            extras={
                name: pieces[0] if len(pieces) == 1 else _joined(pieces, name) for name, pieces in self._extras.items()
            },
        )


_ADD: dict[type[Event], Callable[[Fold, Any], None]] = {
    TextDelta: Fold._add_text,
    ReasoningDelta: Fold._add_reasoning,
    ToolCallDelta: Fold._add_call,
    Started: Fold._add_start,
    Finished: Fold._add_end,
    UsageReport: Fold._add_usage,
    Extra: Fold._add_extra,
    Native: Fold._add_native,
}


def reported(usage: Usage) -> Usage | None:
    """None where the provider's object holds no count that is one."""
    return usage if usage != _NO_COUNTS else None


_NO_COUNTS = Usage()


def _joined(pieces: list[Any], name: str) -> Any:
    """Objects are merged, the texts of a refusal joined, and the rest as in `_last_or_all`."""
    kinds = {type(piece) for piece in pieces}
    if kinds == {dict}:
        fields: dict[str, list[Any]] = {}
        for piece in pieces:
            for field, value in piece.items():
                fields.setdefault(field, []).append(value)
        return {field: _last_or_all(values) for field, values in fields.items()}
    return "".join(pieces) if name == "refusal" and kinds == {str} else _last_or_all(pieces)


def _last_or_all(values: list[Any]) -> Any:
    """Lists are strung together (citations, logprobs); of anything else the last one counts."""
    if len(values) > 1 and all(type(value) is list for value in values):
        return list(chain.from_iterable(values))
    return values[-1]


def events_of(reply: Reply) -> list[Event]:
    """A whole reply as the events of a stream with few large pieces: `Fold.add_all(events_of(r)).reply() == r`."""
    events: list[Event] = [Started(reply.response_id, reply.response_model)]
    if reply.reasoning is not None:
        events.append(ReasoningDelta(reply.reasoning))
    if reply.content:
        events.append(TextDelta(reply.content))
    events += [ToolCallDelta(i, call.id, call.name, call.arguments) for i, call in enumerate(reply.tool_calls)]
    events += [Extra(name, value) for name, value in reply.extras.items()]
    if reply.native is not None:
        events.append(Native(reply.native))
    if reply.raw_usage is not None:
        events.append(UsageReport(reply.raw_usage))
    if reply.finish_reason is not None:
        events.append(Finished(reply.finish_reason, reply.provider_finish_reason))
    return events
