"""What the caller gets: `Response`, a dict that serialises as it is, and `Chunk`, one piece of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, Literal, Never, Self, TypeVar, overload

import msgspec
from msgspec import Struct, structs

from .errors import CLASSES, GeneralError, LLMError
from .types import RateLimit, Reply, Usage

_loads = msgspec.json.Decoder().decode


T = TypeVar("T")


class _View(Generic[T]):
    """A read-only attribute of a dict: the value under the key of the same name."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, response: None, owner: type) -> Self: ...

    @overload
    def __get__(self, response: Mapping[str, Any], owner: type) -> T: ...

    def __get__(self, response: Mapping[str, Any] | None, owner: type) -> Any:
        return self if response is None else response[self._name]

    def __set__(self, response: Mapping[str, Any], value: Never) -> None:
        raise AttributeError(f"{self._name} is a view of the key {self._name!r} and cannot be set")


class Response(dict[str, Any]):
    """One answer or one error; every key is always there. The attributes are read-only views of the keys."""

    __slots__ = ("_parsed",)
    _parsed: Any

    status = _View[Literal["success", "error"]]('`"success"` or `"error"`.')
    content = _View[str | None]("The text parts of the answer, joined; None on an error before anything came.")
    provider = _View[str | None]("Who answered, or was asked last.")
    model = _View[str | None]("The model name sent to the provider.")
    timestamp = _View[float]("Unix seconds at the end of the call.")
    tool_calls = _View[list[dict[str, Any]]]("Each `{id, name, arguments (dict or None), arguments_raw (str)}`.")
    reasoning = _View[str | None]("The reasoning text, or None.")
    error = _View[str | None]("What happened and what to do, or None.")
    error_type = _View[str | None]("The class of the error, or None; see `multi_llm_wrapper.errors`.")
    metadata = _View[dict[str, Any]](
        "Times, usage, finish reason, ids, attempts and the rest; see the contract's table."
    )

    @property
    def ok(self) -> bool:
        return bool(self["status"] == "success")

    @property
    def usage(self) -> dict[str, int | None] | None:
        """Token counts, inclusive; None when the provider reported none."""
        usage: dict[str, int | None] | None = self["metadata"]["usage"]
        return usage

    @property
    def finish_reason(self) -> str | None:
        reason: str | None = self["metadata"]["finish_reason"]
        return reason

    @property
    def parsed(self) -> Any:
        """What `response_format` asked for: the JSON value, or an instance for a class; None when absent or not
        matching. Not a key, because an instance would not serialise."""
        return getattr(self, "_parsed", None)

    def to_message(self) -> dict[str, Any]:
        """The assistant turn to append to the messages, with the opaque data that its provider wants back."""
        message: dict[str, Any] = {"role": "assistant", "content": self["content"] or None}
        if self["tool_calls"]:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments_raw"]},
                }
                for call in self["tool_calls"]
            ]
        elif message["content"] is None:
            message["content"] = ""
        native = self["metadata"]["provider_data"].get("native")
        if native is not None:
            message["provider_data"] = native
        return message

    def raise_for_status(self) -> Response:
        """Raises the exception of the error's class, with the same facts as fields; gives itself back on success."""
        if self["status"] == "success":
            return self
        raise self.exception()

    def exception(self) -> LLMError:
        """The error as an exception; only for error responses."""
        facts = self["metadata"]
        return CLASSES.get(self["error_type"], GeneralError)(
            self["error"],
            provider=self["provider"],
            model=self["model"],
            status_code=facts.get("status_code"),
            code=facts.get("code"),
            request_id=facts["request_id"],
            retry_after=facts.get("retry_after"),
            rejected_by=facts.get("rejected_by"),
            response=self,
        )


class Facts(Struct):
    """What the call knows beside the reply itself."""

    provider: str | None
    model: str | None
    timestamp: float
    response_time: float
    time_to_first_token: float | None = None
    attempts: int = 0
    request_id: str | None = None
    rate_limit: RateLimit | None = None
    dropped_params: list[str] = []
    attempts_detail: list[dict[str, Any]] = []
    raw: Any = None
    cost: float | None = None
    """US dollars, of all attempts that reported usage."""


def success(reply: Reply, facts: Facts) -> Response:
    return Response(
        status="success",
        content=reply.content,
        provider=facts.provider,
        model=facts.model,
        timestamp=facts.timestamp,
        tool_calls=_tool_calls(reply) if reply.tool_calls else [],
        reasoning=reply.reasoning,
        error=None,
        error_type=None,
        metadata=_metadata(reply, facts),
    )


def failure(error: LLMError, facts: Facts, partial: Reply | None = None) -> Response:
    """An error response; `partial` is what had come of the answer before."""
    reply = partial or Reply()
    metadata = _metadata(reply, facts)
    metadata["request_id"] = error.request_id or facts.request_id
    metadata["status_code"] = error.status_code
    metadata["code"] = error.code
    metadata["retry_after"] = error.retry_after
    metadata["retryable"] = error.retryable
    metadata["rejected_by"] = error.rejected_by
    received = partial is not None and bool(partial.content or partial.reasoning or partial.tool_calls)
    return Response(
        status="error",
        content=reply.content if received else None,
        provider=facts.provider,
        model=facts.model,
        timestamp=facts.timestamp,
        tool_calls=_tool_calls(reply),
        reasoning=reply.reasoning,
        error=error.message,
        error_type=error.error_type,
        metadata=metadata,
    )


def _metadata(reply: Reply, facts: Facts) -> dict[str, Any]:
    usage, limit = reply.usage, facts.rate_limit
    metadata: dict[str, Any] = {
        "response_time": facts.response_time,
        "time_to_first_token": facts.time_to_first_token,
        "usage": usage_dict(usage) if usage is not None else None,
        "raw_usage": reply.raw_usage,
        "finish_reason": reply.finish_reason,
        "provider_finish_reason": reply.provider_finish_reason,
        "response_model": reply.response_model,
        "request_id": facts.request_id,
        "response_id": reply.response_id,
        "attempts": facts.attempts,
        "attempts_detail": facts.attempts_detail,
        "cached": False,
        "cost_usd": facts.cost,
        "dropped_params": facts.dropped_params,
        "provider_data": provider_data(reply),
        "rate_limit": structs.asdict(limit) if limit is not None else None,
    }
    if facts.raw is not None:
        metadata["raw"] = facts.raw
    return metadata


def provider_data(reply: Reply) -> dict[str, Any]:
    native = reply.native
    if native is None:
        return reply.extras
    return {**reply.extras, "native": {"dialect": native.dialect, "fields": native.fields}}


def usage_dict(usage: Usage) -> dict[str, int | None]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _tool_calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "name": call.name, "arguments": _arguments(call.arguments), "arguments_raw": call.arguments}
        for call in reply.tool_calls
    ]


def _arguments(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return {}
    try:
        value = _loads(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return value if type(value) is dict else None


class Chunk(Struct, kw_only=True):
    """One piece of a stream, with attribute and key access.

    `text` and `reasoning` chunks bring `content` or `reasoning`; a `tool_call` chunk brings `index`, `id`, `name` and
    the next piece of JSON text in `arguments_delta`; `restart` says to discard what came before; `error` and `end`
    are the last chunk of a stream.
    """

    type: Literal["text", "reasoning", "tool_call", "restart", "error", "end"]
    content: str = ""
    reasoning: str = ""
    index: int | None = None
    id: str | None = None
    name: str | None = None
    arguments_delta: str = ""
    finish_reason: str | None = None
    usage: dict[str, int | None] | None = None
    status: str = "success"
    provider: str | None = None
    model: str | None = None
    error: str | None = None
    error_type: str | None = None

    def __getitem__(self, name: str) -> Any:
        if name in self.__struct_fields__:
            return getattr(self, name)
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in self.__struct_fields__

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name) if name in self.__struct_fields__ else default

    def keys(self) -> tuple[str, ...]:
        return self.__struct_fields__

    def __iter__(self) -> Iterator[str]:
        return iter(self.__struct_fields__)


__all__ = ["Chunk", "Facts", "Response", "failure", "success"]
