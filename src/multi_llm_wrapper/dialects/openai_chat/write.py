"""Server side: a whole answer, or an error, as api.openai.com sends it."""

from __future__ import annotations

from math import ceil
from typing import Any

from ...errors import LLMError
from ...types import Reply, ToolCall
from ..base import WireReply
from ..shape import encode
from .finish import write_reason
from .rejection import InvalidRequestError
from .usage import write_usage

IN_MESSAGE = frozenset({"refusal", "annotations", "audio", "reasoning_details"})
IN_CHOICE = frozenset({"logprobs", "native_finish_reason", "content_filter_results"})
"""Where extras belong; others stand beside `choices`."""

FIXED = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
"""What no extra may stand in for."""

_JSON = {"content-type": "application/json"}

_ERRORS: dict[str, tuple[int, str, str | None]] = {
    "validation_error": (400, "invalid_request_error", None),
    "auth_error": (401, "invalid_request_error", "invalid_api_key"),
    "permission_error": (403, "invalid_request_error", "insufficient_permissions"),
    "quota_exceeded": (429, "insufficient_quota", "insufficient_quota"),
    "rate_limit": (429, "requests", "rate_limit_exceeded"),
    "overloaded": (503, "service_unavailable_error", "server_is_overloaded"),
    "timeout": (504, "server_error", "timeout"),
    "connection_error": (502, "server_error", "connection_error"),
    "server_error": (500, "server_error", None),
    "request_too_large": (413, "invalid_request_error", "request_too_large"),
    "context_length_exceeded": (400, "invalid_request_error", "context_length_exceeded"),
    "content_filter": (400, "invalid_request_error", "content_filter"),
    "model_not_found": (404, "invalid_request_error", "model_not_found"),
    "unsupported_feature": (400, "invalid_request_error", "unsupported_parameter"),
    "malformed_response": (502, "server_error", "malformed_response"),
    "empty_response": (502, "server_error", "empty_response"),
    "incomplete_stream": (502, "server_error", "incomplete_stream"),
    "cancelled": (499, "server_error", "cancelled"),
    "circuit_open": (503, "service_unavailable_error", "circuit_open"),
    "limit_exceeded": (429, "requests", "limit_exceeded"),
    "general_error": (500, "server_error", None),
}
"""error_type -> HTTP status, `type` and `code` of the error body."""

_PARAMS = {"context_length_exceeded": "messages", "content_filter": "prompt"}


def encode_reply(reply: Reply, *, created: int) -> WireReply:
    """A `chat.completion`; `reasoning` is written as `reasoning_content`, as DeepSeek does."""
    extras = reply.extras
    choice: dict[str, Any] = {
        "index": 0,
        "message": _message(reply),
        "logprobs": None,
        **{name: value for name, value in extras.items() if name in IN_CHOICE},
        "finish_reason": wire_reason(reply),
    }
    body: dict[str, Any] = {
        "id": reply.response_id or "",
        "object": "chat.completion",
        "created": created,
        "model": reply.response_model or "",
        "choices": [choice, *_others(extras)],
    }
    if reply.usage is not None:
        body["usage"] = write_usage(reply.usage)
    body |= {"service_tier": "default", "system_fingerprint": None}
    body |= {name: value for name, value in extras.items() if name not in IN_MESSAGE | IN_CHOICE | FIXED}
    return WireReply(200, dict(_JSON), encode(body))


def encode_error(error: LLMError) -> WireReply:
    """The facts of the error win over the table; the wait is told in both of OpenAI's headers."""
    headers = dict(_JSON)
    if error.retry_after is not None:
        headers["retry-after"] = str(ceil(error.retry_after))
        headers["retry-after-ms"] = str(ceil(error.retry_after * 1000))
    status = _ERRORS[error.error_type][0]
    if error.status_code is not None and error.status_code >= 400:
        status = error.status_code
    return WireReply(status, headers, encode({"error": error_object(error)}))


def error_object(error: LLMError) -> dict[str, Any]:
    _, kind, code = _ERRORS[error.error_type]
    if error.error_type == "rate_limit" and "tokens per" in error.message:
        kind = "tokens"
    param = error.param if isinstance(error, InvalidRequestError) else _PARAMS.get(error.error_type)
    return {"message": error.message, "type": kind, "param": param, "code": error.code or code}


def wire_reason(reply: Reply) -> str | None:
    """A refusal is a normal end to OpenAI: the field tells, not the reason."""
    if reply.finish_reason == "content_filter" and reply.extras.get("refusal"):
        return write_reason("stop", reply.provider_finish_reason)
    return write_reason(reply.finish_reason, reply.provider_finish_reason)


def _message(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.content or (None if reply.tool_calls or reply.extras.get("refusal") else ""),
    }
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [_call(call) for call in reply.tool_calls]
    message |= {"refusal": None, "annotations": []}
    return message | {name: value for name, value in reply.extras.items() if name in IN_MESSAGE}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _others(extras: dict[str, Any]) -> list[Any]:
    """Answers beside the first, which the client side keeps under this name."""
    others = extras.get("choices")
    return others if type(others) is list else []
