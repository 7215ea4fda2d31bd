"""Client side: an answer, whole or as a stream, as canonical events.

A whole reply passes through the same functions as a stream: each block is started with all it has, then stopped.
Text, thinking and tool calls become events; every other block (server-side tools and their results, whatever comes
next year) is kept whole, as `Extra` "blocks" and in the native message.
"""

from __future__ import annotations

from typing import Any

from ...errors import EmptyResponseError, MalformedResponseError
from ...sse import ServerEvent
from ...types import (
    Event,
    Extra,
    Finished,
    Native,
    NativeMessage,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from .. import failures
from ..shape import arr, encode, excerpt, loads, obj, text, wrong
from .blocks import Block, in_order
from .words import NAME, STOP_REASONS, read_usage

# Fields that are read here, or that say nothing about the answer; all others are kept.
_MESSAGE = frozenset({"id", "type", "role", "model", "content", "stop_reason", "usage"})
_MESSAGE_DELTA = frozenset({"type", "delta", "usage"})

_IMPLIED = {"text_delta": "text", "thinking_delta": "thinking"}
_QUIET = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
"""Blocks that are no `Extra`."""


class Decoder:
    """Reads one answer; see `dialects.base.Decoder`."""

    __slots__ = ("_at", "_blocks", "_calls", "_finished", "_native_given", "_usage", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._blocks: list[Block] = []
        self._at: dict[int, Block] = {}  # by index
        self._calls = 0
        self._finished = False
        self._native_given = False
        self._usage: dict[str, Any] = {}

    def reply(self, body: bytes) -> list[Event]:
        """All events of a whole body. One without a list `content` is no answer; an empty list that no stop reason
        explains is an empty one (`EmptyResponseError`)."""
        message = loads(body)
        if message.get("type") == "error" or ("content" not in message and message.get("error")):
            raise failures.in_band(message.get("error") or message, body)
        content = message.get("content")
        if type(content) is not list:
            raise MalformedResponseError(
                f"The reply has no list 'content', so it is no message; it starts with {excerpt(body)}. Check that "
                "the base URL is that of an Anthropic Messages API.",
                code="no_content",
            )
        events: list[Event] = []
        self._start(message, events)
        for index, fields in enumerate(content):
            self._stop(self._open(index, obj(fields, f"content[{index}]"), events), events)
        self._finish(message.get("stop_reason"), events)
        self._end(events)
        return events

    def feed(self, event: ServerEvent) -> list[Event]:
        name, raw = event
        if raw[:1] != b"{":
            raw = raw.strip()
            if name == "error" and raw[:1] != b"{":
                raise failures.in_band(raw.decode("utf-8", "replace"), raw)
            if not raw or raw == b"[DONE]":  # no word of Anthropic's, but hosts that speak its protocol say it
                return []
        data = loads(raw, "a stream event")
        kind = data.get("type") or name
        if kind == "content_block_delta":
            return self._delta(data)
        events: list[Event] = []
        if kind == "content_block_start":
            self._open(_index(data), obj(data.get("content_block"), "content_block"), events)
        elif kind == "content_block_stop":
            block = self._at.get(_index(data))
            if block is not None:
                self._stop(block, events)
        elif kind == "message_start":
            self._start(obj(data.get("message"), "message"), events)
        elif kind == "message_delta":
            self._message_delta(data, events)
        elif kind == "message_stop":
            self._end(events)
        elif kind == "error" or (not kind and data.get("error")):
            raise failures.in_band(data.get("error") or data, raw)
        return events

    def close(self) -> list[Event]:
        """What a stream that was cut left unfinished."""
        events: list[Event] = []
        for block in self._blocks:
            if block.kind != "tool_use":  # whether a call that was cut has arguments, nobody can say
                self._stop(block, events)
        self._native(events)
        return events

    # --- the message ------------------------------------------------------------------------------------------------

    def _start(self, message: dict[str, Any], events: list[Event]) -> None:
        events.append(Started(text(message.get("id"), "id") or None, text(message.get("model"), "model") or None))
        self._report(message.get("usage"), events)
        _keep(message, _MESSAGE, events)

    def _message_delta(self, data: dict[str, Any], events: list[Event]) -> None:
        delta = obj(data.get("delta"), "delta")
        self._report(data.get("usage"), events)
        _keep(delta, _MESSAGE, events)
        _keep(data, _MESSAGE_DELTA, events)
        self._finish(delta.get("stop_reason"), events)

    def _finish(self, word: Any, events: list[Event]) -> None:
        word = text(word, "stop_reason")
        if not word:
            return
        if word == "end_turn":
            self._refuse_empty()
        self._finished = True
        events.append(Finished(STOP_REASONS.get(word, "other"), word))

    def _end(self, events: list[Event]) -> None:
        if not self._finished:
            self._refuse_empty()
        for block in self._blocks:
            self._stop(block, events)
        self._native(events)
        self.ended = True

    def _refuse_empty(self) -> None:
        if not self._blocks:
            raise EmptyResponseError(
                "The model ended its turn without a word; try again, or ask it in another way.",
                code="no_blocks",
                usage=read_usage(self._usage) if self._usage else None,
            )

    def _report(self, usage: Any, events: list[Event]) -> None:
        """The counts of a stream are totals so far; those that are left out or null still hold."""
        if usage is None:
            return
        before = self._usage
        new = obj(usage, "usage")
        self._usage = before | {name: new[name] for name in new if new[name] is not None or name not in before}
        events.append(UsageReport(self._usage))

    def _native(self, events: list[Event]) -> None:
        blocks = self._blocks
        if self._native_given or (all(block.plain for block in blocks) and in_order([block.kind for block in blocks])):
            return
        self._native_given = True
        events.append(Native(NativeMessage(NAME, {"content": [block.whole() for block in blocks]})))

    # --- its blocks -------------------------------------------------------------------------------------------------

    def _open(self, index: int, fields: dict[str, Any], events: list[Event]) -> Block:
        block = Block(fields, text(fields.get("type"), "content_block.type"))
        self._blocks.append(block)
        self._at[index] = block
        if block.kind == "text":
            if said := text(fields.get("text"), "content_block.text"):
                events.append(TextDelta(said))
            if citations := arr(fields.get("citations"), "content_block.citations"):
                events.append(Extra("citations", citations))
        elif block.kind == "thinking":
            if thought := text(fields.get("thinking"), "content_block.thinking"):
                events.append(ReasoningDelta(thought))
        elif block.kind == "tool_use":
            block.call = self._calls
            self._calls += 1
            call_id, name = text(fields.get("id"), "content_block.id"), text(fields.get("name"), "content_block.name")
            events.append(ToolCallDelta(block.call, call_id, name))
        return block

    def _delta(self, data: dict[str, Any]) -> list[Event]:
        delta = data.get("delta")
        if type(delta) is not dict:
            wrong("delta", delta, "an object")
        kind = delta.get("type")
        index = data.get("index")
        block = self._at.get(index) if type(index) is int else None
        if block is None:
            block = self._unannounced(_index(data), kind)
        if kind == "text_delta" and block.kind == "text":
            said = delta.get("text")
            if type(said) is not str:
                said = text(said, "delta.text")
            block.pieces.append(said)
            return [TextDelta(said)] if said else []
        return self._other_delta(kind, delta, block)

    def _other_delta(self, kind: Any, delta: dict[str, Any], block: Block) -> list[Event]:
        if kind == "thinking_delta" and block.kind == "thinking":
            thought = text(delta.get("thinking"), "delta.thinking")
            block.pieces.append(thought)
            return [ReasoningDelta(thought)] if thought else []
        block.grow(delta)
        if kind == "input_json_delta" and block.kind == "tool_use":
            fragment = text(delta.get("partial_json"), "delta.partial_json")
            return [ToolCallDelta(block.call, arguments=fragment)] if fragment else []
        if kind == "citations_delta" and block.kind == "text" and delta.get("citation") is not None:
            return [Extra("citations", [delta["citation"]])]
        return []

    def _unannounced(self, index: int, kind: Any) -> Block:
        """A delta whose block was not started; of text or thinking there is nothing more to know."""
        implied = _IMPLIED.get(kind) if type(kind) is str else None
        if implied is None:
            raise MalformedResponseError(
                f"The stream adds to content block {index}, which it has not started; try again.", code="unknown_block"
            )
        return self._open(index, {"type": implied}, [])

    def _stop(self, block: Block, events: list[Event]) -> None:
        if block.stopped:
            return
        block.stopped = True
        if block.kind == "tool_use":
            if not block.fragments:
                given = block.fields.get("input")
                arguments = given if type(given) is str else encode(given or {}).decode()
                events.append(ToolCallDelta(block.call, arguments=arguments))
        elif block.kind not in _QUIET:
            events.append(Extra("blocks", [block.whole()]))


def _index(data: dict[str, Any]) -> int:
    index = data.get("index")
    if type(index) is not int:
        wrong("index", index, "a number")
    return index


def _keep(fields: dict[str, Any], known: frozenset[str], events: list[Event]) -> None:
    """What has no canonical place: container, stop_sequence, stop_details, context_management, ..."""
    for name, value in fields.items():
        if name not in known and value is not None:
            events.append(Extra(name, value))
