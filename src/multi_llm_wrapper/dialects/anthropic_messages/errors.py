"""Server side: failures as Anthropic says them, `{"type": "error", "error": {"type", "message"}, "request_id"}`.

https://docs.anthropic.com/en/api/errors
"""

from __future__ import annotations

from typing import Any

from ...errors import LLMError, ValidationError
from ..base import WireReply
from ..shape import encode
from .answer import JSON_HEADERS

TYPES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The API's error type by HTTP status."""

STATUS: dict[str, int] = {
    "validation_error": 400,
    "unsupported_feature": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "auth_error": 401,
    "quota_exceeded": 402,
    "permission_error": 403,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit": 429,
    "limit_exceeded": 429,
    "timeout": 504,
    "overloaded": 529,
    "circuit_open": 529,
}
"""HTTP status by our error type, for an error that has no status of its own; any other type is 500."""


class NoThreadError(ValidationError):
    """The request wants its conversation held by the server, which this one does not do. The real API says so of
    requests that it cannot hold, and the official client then sends the whole conversation each time."""

    def __init__(self, message: str = "thread: this server does not hold conversations.", **facts: Any) -> None:
        super().__init__(message, **{"status_code": 400, "rejected_by": "provider", **facts})


def encode_error(error: LLMError) -> WireReply:
    headers = dict(JSON_HEADERS)
    if error.retry_after is not None:
        headers["retry-after"] = f"{max(error.retry_after, 0):.3f}".rstrip("0").rstrip(".")
    return WireReply(_status(error), headers, encode(error_body(error)))


def error_body(error: LLMError) -> dict[str, Any]:
    """The error's own code is its type here; else its status decides."""
    status = _status(error)
    kind = error.code or TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    said: dict[str, Any] = {"type": kind, "message": error.message}
    if isinstance(error, NoThreadError):
        said["details"] = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    return {"type": "error", "error": said, "request_id": error.request_id}


def _status(error: LLMError) -> int:
    return error.status_code or STATUS.get(error.error_type, 500)
