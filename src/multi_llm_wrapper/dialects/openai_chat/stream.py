"""Server side: an answer as the server-sent chunks of api.openai.com."""

from __future__ import annotations

from typing import Any

from ...errors import LLMError
from ...types import Event, Extra, FinishReason, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from ..shape import encode
from .finish import write_reason
from .usage import write_usage
from .write import FIXED, IN_CHOICE, IN_MESSAGE, error_object

_DONE = b"data: [DONE]\n\n"


class Encoder:
    """Writes one answer; see `dialects.base.Encoder`. With `include_usage` every chunk says `usage: null` until the
    last one, which has no choice and the counts; without it none says anything."""

    __slots__ = ("_after", "_base", "_before", "_called", "_refused", "_usage")

    def __init__(self, *, response_id: str, model: str, created: int, include_usage: bool = True) -> None:
        self._usage = include_usage
        self._called: set[int] = set()
        self._refused = False
        self._base: dict[str, Any] = {
            "id": response_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": None,
        }
        self._before = self._around()
        self._after = b',"logprobs":null,"finish_reason":null}]' + (
            b',"usage":null}\n\n' if include_usage else b"}\n\n"
        )

    def start(self) -> bytes:
        return self._delta({"role": "assistant", "content": "", "refusal": None})

    def event(self, event: Event) -> bytes:
        """The bytes of one event; start, finish and usage are written by `start` and `end`."""
        if isinstance(event, TextDelta):
            return self._delta({"content": event.text})
        if isinstance(event, ReasoningDelta):
            return self._delta({"reasoning_content": event.text})
        if isinstance(event, ToolCallDelta):
            return self._call(event)
        if isinstance(event, Extra):
            return self._extra(event.name, event.value)
        return b""

    def end(self, reason: FinishReason, usage: Usage | None, provider_reason: str | None = None) -> bytes:
        said: FinishReason = "stop" if self._refused and reason == "content_filter" else reason
        last = self._chunk([_choice(finish_reason=write_reason(said, provider_reason))])
        if self._usage and usage is not None:
            last += _frame({**self._base, "choices": [], "usage": write_usage(usage)})
        return last + _DONE

    def error(self, error: LLMError) -> bytes:
        return _frame({"error": error_object(error)})

    def _around(self) -> bytes:
        """Most chunks differ in their delta only, so what stands before it is encoded once."""
        return b"data: " + encode(self._base)[:-1] + b',"choices":[{"index":0,"delta":'

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._before + encode(delta) + self._after

    def _chunk(self, choices: list[Any], fields: dict[str, Any] | None = None) -> bytes:
        chunk = {**self._base, "choices": choices}
        if self._usage:
            chunk["usage"] = None
        return _frame(chunk | (fields or {}))

    def _call(self, event: ToolCallDelta) -> bytes:
        """OpenAI says id and name once, with empty arguments, and sends the arguments after that."""
        chunks = b""
        if event.index not in self._called:
            self._called.add(event.index)
            head = {"id": event.id or f"call_{event.index}", "type": "function"}
            chunks = self._call_delta(event.index, head, {"name": event.name or "", "arguments": ""})
        elif event.name:
            chunks = self._call_delta(event.index, {}, {"name": event.name, "arguments": ""})
        if event.arguments:
            chunks += self._call_delta(event.index, {}, {"arguments": event.arguments})
        return chunks

    def _call_delta(self, index: int, head: dict[str, Any], function: dict[str, Any]) -> bytes:
        return self._delta({"tool_calls": [{"index": index, **head, "function": function}]})

    def _extra(self, name: str, value: Any) -> bytes:
        """Where a provider would have put it; answers beside the first are choices of their own."""
        if name in IN_MESSAGE:
            self._refused = self._refused or name == "refusal"
            return self._delta({name: value})
        if name in IN_CHOICE:
            return self._chunk([_choice(**{name: value})])
        if name == "choices" and type(value) is list:
            return self._chunk(value)
        if name in FIXED:
            return b""
        if name in self._base:  # the service tier and the fingerprint stand in every chunk
            self._base[name] = value
            self._before = self._around()
            return b""
        return self._chunk([_choice()], {name: value})


def _choice(**fields: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None, **fields}


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + encode(value) + b"\n\n"
