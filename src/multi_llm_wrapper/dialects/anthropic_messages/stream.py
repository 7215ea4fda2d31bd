"""Server side: canonical events as the event stream of a message.

One block at a time, as the real API does it: what does not go on with the open block closes it. Only a fragment of a
tool call that is closed already, which the real API never sends, is written to that call's block all the same: clients
go by its index.
"""

from __future__ import annotations

from typing import Any

from ...errors import LLMError
from ...types import Event, Extra, FinishReason, Native, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from ..shape import encode
from .answer import head, native_blocks
from .errors import error_body
from .words import write_stop, write_usage

_IN_DELTA = frozenset({"container", "stop_details", "stop_sequence"})
"""What comes with the stop reason, at the end."""

_TEXTS: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class Encoder:
    """Writes one streamed answer; see `dialects.base.Encoder`.

    A `Native` event of this dialect that comes before any content is the content: its blocks are written verbatim, and
    the events that say the same are left out. One that comes later signs the thinking that was streamed.
    """

    __slots__ = ("_calls", "_count", "_extras", "_head", "_kind", "_thoughts", "_usage", "_verbatim")

    def __init__(self, response_id: str, model: str, usage: Usage | None = None) -> None:
        self._head = head(response_id, model)
        self._usage = usage
        self._extras: dict[str, Any] = {"stop_sequence": None}  # fields of the last delta
        self._kind = ""  # of the open block
        self._count = 0  # blocks so far
        self._calls: dict[int, int] = {}  # tool call -> its block
        self._thoughts: dict[int, list[str]] = {}  # thinking block -> its text
        self._verbatim = False

    def start(self) -> bytes:
        usage = {**write_usage(self._usage), "output_tokens": 1, "service_tier": "standard"}
        return _frame("message_start", message={**self._head, "usage": usage}) + _frame("ping")

    def event(self, event: Event) -> bytes:
        if isinstance(event, Native):
            return self._native(event)
        if isinstance(event, Extra):
            if event.name in _IN_DELTA:
                self._extras[event.name] = event.value
            return b""
        if self._verbatim:
            return b""
        if isinstance(event, TextDelta):
            return self._text("text", event.text)
        if isinstance(event, ReasoningDelta):
            return self._text("thinking", event.text)
        if isinstance(event, ToolCallDelta):
            return self._call(event)
        return b""

    def end(self, reason: FinishReason, usage: Usage | None, provider_reason: str | None = None) -> bytes:
        word = write_stop(reason, provider_reason)
        out = b""
        if not self._count and word == "end_turn":
            out = self._open("text", _TEXTS["text"])  # an answer without words, which is more than none
        delta = {"stop_reason": word, **self._extras}
        out += self._close() + _frame("message_delta", delta=delta, usage=write_usage(usage))
        return out + _frame("message_stop")

    def error(self, error: LLMError) -> bytes:
        return _event("error", error_body(error))

    def _open(self, kind: str, block: dict[str, Any]) -> bytes:
        out = self._close() + _frame("content_block_start", index=self._count, content_block=block)
        self._kind = kind
        self._count += 1
        return out

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return _frame("content_block_stop", index=self._count - 1)

    def _text(self, kind: str, text: str) -> bytes:
        if not text:
            return b""
        out = b"" if self._kind == kind else self._open(kind, _TEXTS[kind])
        if kind == "thinking":
            self._thoughts.setdefault(self._count - 1, []).append(text)
        return out + _delta(self._count - 1, f"{kind}_delta", kind, text)

    def _call(self, event: ToolCallDelta) -> bytes:
        out = b""
        block = self._calls.get(event.index)
        if block is None:
            start = {"type": "tool_use", "id": event.id or "", "name": event.name or "", "input": {}}
            out = self._open("tool_use", start)
            block = self._calls[event.index] = self._count - 1
        if event.arguments:
            out += _delta(block, "input_json_delta", "partial_json", event.arguments)
        return out

    def _native(self, event: Native) -> bytes:
        blocks = native_blocks(event.message)
        if self._count:
            return self._signatures(blocks)
        self._verbatim = bool(blocks)
        return b"".join(self._verbatim_block(block) for block in blocks) + self._close()

    def _signatures(self, blocks: list[dict[str, Any]]) -> bytes:
        """Also of blocks that are closed already (the real API signs before that, clients go by the index), but only of
        the very text that was signed."""
        out = b""
        signed = (block for block in blocks if block.get("type") == "thinking" and block.get("signature"))
        for (index, texts), block in zip(self._thoughts.items(), signed, strict=False):
            if "".join(texts) == block.get("thinking"):
                out += _delta(index, "signature_delta", "signature", block["signature"])
        return out

    def _verbatim_block(self, block: dict[str, Any]) -> bytes:
        """Text, thinking and tool input as deltas, for clients that wait for those; all else in the start event."""
        start = dict(block)
        deltas: list[tuple[str, str, Any]] = []
        for field, empty, delta, name in _DELTAS:
            if isinstance(value := start.get(field), type(empty)) and value:
                start[field] = empty
                values = value if field == "citations" else [value]
                deltas += [(delta, name, encode(v).decode() if field == "input" else v) for v in values]
        out = self._open("native", start)
        return out + b"".join(_delta(self._count - 1, *delta) for delta in deltas)


_DELTAS: tuple[tuple[str, Any, str, str], ...] = (
    ("citations", [], "citations_delta", "citation"),
    ("text", "", "text_delta", "text"),
    ("thinking", "", "thinking_delta", "thinking"),
    ("signature", "", "signature_delta", "signature"),
    ("input", {}, "input_json_delta", "partial_json"),
)
"""Field of a block, what it is in the start event, and the delta that brings it."""


def _delta(index: int, kind: str, name: str, value: Any) -> bytes:
    return _frame("content_block_delta", index=index, delta={"type": kind, name: value})


def _frame(kind: str, **fields: Any) -> bytes:
    return _event(kind, {"type": kind, **fields})


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + encode(data) + b"\n\n"
