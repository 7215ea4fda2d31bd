"""Which failures another route may mend, and which a deployment has to recover from."""

from __future__ import annotations

from ..errors import LLMError

MOVES_ON: dict[str, bool] = {
    "rate_limit": True,
    "overloaded": True,
    "server_error": True,
    "timeout": True,
    "connection_error": True,
    "quota_exceeded": True,
    "auth_error": True,
    "permission_error": True,
    "model_not_found": True,
    "circuit_open": True,
    "limit_exceeded": True,
    "incomplete_stream": True,
    "malformed_response": True,
    "empty_response": True,
    "cancelled": True,
    "unsupported_feature": True,
    "general_error": True,
    # Only to a model with a larger known window:
    "context_length_exceeded": False,
    # The caller's own, wherever it is sent:
    "request_too_large": False,
    "content_filter": False,
    "validation_error": False,
}
"""Error class -> whether the next route is asked after it. The setting `fallback_on` adds to it."""

BREAKS = frozenset(
    ("overloaded", "server_error", "timeout", "connection_error", "malformed_response", "empty_response",
     "incomplete_stream")
)  # fmt: skip
"""Failures that speak against the deployment itself, and so count for its circuit breaker."""

OUT_SECONDS: dict[str, float] = dict.fromkeys(("auth_error", "permission_error", "quota_exceeded"), 60.0) | {
    "rate_limit": 5.0
}
"""For how long a deployment is taken out after a failure that waiting alone can mend, unless it said how long."""


MAX_OUT_SECONDS = 3600.0
"""Whatever a provider says: after an hour it is tried again."""


def out_seconds(error: LLMError) -> float | None:
    """Seconds for which the deployment that failed so is not asked while another can be."""
    usual = OUT_SECONDS.get(error.error_type)
    if usual is None:
        return None
    return usual if error.retry_after is None else min(error.retry_after, MAX_OUT_SECONDS)
