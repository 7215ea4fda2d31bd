"""Server side: failures as Google says them, `{"error": {"code", "message", "status", "details"}}`.

https://ai.google.dev/gemini-api/docs/troubleshooting; the details are those of `google/rpc/error_details.proto`.
"""

from __future__ import annotations

from typing import Any

from ...errors import AuthError, ContentFilterError, LLMError, QuotaExceededError, RateLimitError
from .. import shape
from ..base import WireReply
from .answer import JSON_HEADERS

HTTP: dict[str, int] = {
    "validation_error": 400,
    "unsupported_feature": 400,
    "context_length_exceeded": 400,
    "auth_error": 400,  # a wrong key; a missing one is 403 PERMISSION_DENIED
    "permission_error": 403,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit": 429,
    "quota_exceeded": 429,
    "limit_exceeded": 429,
    "cancelled": 499,
    "server_error": 500,
    "overloaded": 503,
    "circuit_open": 503,
    "connection_error": 503,
    "timeout": 504,
}
"""HTTP status by error type, for an error that has no status of its own; any other type is 500."""

STATUS: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The status name by HTTP status; `error.code` beats it when it is such a name."""

_NAMES = frozenset(STATUS.values()) | {"OUT_OF_RANGE", "ALREADY_EXISTS", "DATA_LOSS", "UNKNOWN"}
_BLOCK_REASONS = frozenset(
    {"SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK"}
)

_RPC = "type.googleapis.com/google.rpc."
_SERVICE = "generativelanguage.googleapis.com"


def encode_error(error: LLMError) -> WireReply:
    """A prompt refused by a filter is no error on this wire, but an answer without candidates: HTTP 200."""
    body = error_body(error)
    status = body["error"]["code"] if "error" in body else 200
    return WireReply(status, dict(JSON_HEADERS), shape.encode(body))


def error_body(error: LLMError) -> dict[str, Any]:
    if isinstance(error, ContentFilterError):
        return _blocked(error)
    code = error.status_code or HTTP.get(error.error_type, 500)
    status = error.code if error.code in _NAMES else STATUS.get(code, "INVALID_ARGUMENT" if code < 500 else "UNKNOWN")
    body: dict[str, Any] = {"code": code, "message": error.message, "status": status}
    if details := _details(error, code):
        body["details"] = details
    return {"error": body}


def _blocked(error: ContentFilterError) -> dict[str, Any]:
    reason = error.code if error.code in _BLOCK_REASONS else "PROHIBITED_CONTENT"
    return {"promptFeedback": {"blockReason": reason, "blockReasonMessage": error.message}}


def _details(error: LLMError, code: int) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if isinstance(error, AuthError) and code == 400:
        details.append(
            _detail("ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com", metadata={"service": _SERVICE})
        )
        details.append(_detail("LocalizedMessage", locale="en-US", message=error.message))
    if isinstance(error, QuotaExceededError | RateLimitError) and code == 429:
        details.append(_quota_failure("Day" if isinstance(error, QuotaExceededError) else "Minute"))
    if error.retry_after is not None:
        delay = f"{max(error.retry_after, 0):.3f}".rstrip("0").rstrip(".")
        details.append(_detail("RetryInfo", retryDelay=f"{delay}s"))
    return details


def _quota_failure(per: str) -> dict[str, Any]:
    """Which quota is spent can be told only by the name of it."""
    violation = {
        "quotaMetric": f"{_SERVICE}/generate_content_free_tier_requests",
        "quotaId": f"GenerateRequestsPer{per}PerProjectPerModel-FreeTier",
    }
    return _detail("QuotaFailure", violations=[violation])


def _detail(name: str, **fields: Any) -> dict[str, Any]:
    return {"@type": _RPC + name, **fields}
