"""Every way a call can fail, as a closed set of classes.

    LLMError
    |-- the request:    ValidationError  UnsupportedFeatureError  RequestTooLargeError  ContextLengthError
    |                   ModelNotFoundError  ContentFilterError
    |-- the account:    AuthError  PermissionDeniedError  QuotaExceededError
    |-- the moment:     RateLimitError*  OverloadedError*  ServerError*  TimeoutError*  ConnectionError*
    |-- the answer:     MalformedResponseError*  EmptyResponseError*  IncompleteStreamError*
    |-- us:             CircuitOpenError  LimitExceededError
    `-- otherwise:      CancelledError (by the provider)  GeneralError

    * may go better next time: `retryable` is True

`error_type` is the class as a string, the same in every response, exception and count. The class is decided by
HTTP status, then by the provider's structured code, and by message text only in the named last rules of
`dialects.failures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from .types import Usage

RejectedBy = Literal["client", "provider"]


class LLMError(Exception):
    """Base of all failures of a call; `str()` says what happened and what to do.

    Raised for the user only by `raise_for_status()` and `raise_on_error=True`; otherwise the same facts are in
    the error response. `retry_after` is in seconds; `usage` is what the provider counted all the same, for a reply
    without an answer; `response` is the error response once there is one.
    """

    error_type: ClassVar[str] = "general_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        rejected_by: RejectedBy | None = None,
        usage: Usage | None = None,
        response: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.model = model
        self.status_code = status_code
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.rejected_by = rejected_by
        self.usage = usage
        self.response = response

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {k: v for k, v in vars(self).items() if k != "message"})


def _rebuild(cls: type[LLMError], message: str, facts: dict[str, Any]) -> LLMError:
    return cls(message, **facts)


class ValidationError(LLMError):
    """The input is not something any provider could answer; the message names the field and the remedy."""

    error_type = "validation_error"


class AuthError(LLMError):
    """The key is missing, wrong or revoked."""

    error_type = "auth_error"


class PermissionDeniedError(LLMError):
    """The key is known but may not do this (model, region, project)."""

    error_type = "permission_error"


class QuotaExceededError(LLMError):
    """Money or quota is spent; waiting a moment does not help, another provider does."""

    error_type = "quota_exceeded"


class RateLimitError(LLMError):
    """Too many requests or tokens for now; `retry_after` says for how long, when the provider said it."""

    error_type = "rate_limit"
    retryable = True


class OverloadedError(LLMError):
    """The provider has no capacity at the moment."""

    error_type = "overloaded"
    retryable = True


class TimeoutError(LLMError):
    """One of the time limits ran out: connect, first token, idle, attempt or total."""

    error_type = "timeout"
    retryable = True


class ConnectionError(LLMError):
    """The provider could not be reached, or the connection broke before an answer began."""

    error_type = "connection_error"
    retryable = True


class ServerError(LLMError):
    """The provider failed on its side."""

    error_type = "server_error"
    retryable = True


class RequestTooLargeError(LLMError):
    """The request has too many bytes."""

    error_type = "request_too_large"


class ContextLengthError(LLMError):
    """The prompt and the answer asked for do not fit the model's context window."""

    error_type = "context_length_exceeded"


class ContentFilterError(LLMError):
    """The provider's filter refused the request."""

    error_type = "content_filter"


class ModelNotFoundError(LLMError):
    """The provider has no such model, or not for this key."""

    error_type = "model_not_found"


class UnsupportedFeatureError(LLMError):
    """The model or its protocol has no way to do what was asked."""

    error_type = "unsupported_feature"


class MalformedResponseError(LLMError):
    """What came back is not an answer in the provider's protocol."""

    error_type = "malformed_response"
    retryable = True


class EmptyResponseError(LLMError):
    """A well-formed reply with no choice, candidate or block in it, and nothing that explains why."""

    error_type = "empty_response"
    retryable = True


class IncompleteStreamError(LLMError):
    """The stream broke off before the provider said that it was finished."""

    error_type = "incomplete_stream"
    retryable = True


class CancelledError(LLMError):
    """The provider cancelled the request."""

    error_type = "cancelled"


class CircuitOpenError(LLMError):
    """Not sent: this deployment failed too often just now."""

    error_type = "circuit_open"


class LimitExceededError(LLMError):
    """Not sent, or cut off: a limit of our own (queue, concurrency, body size) was reached."""

    error_type = "limit_exceeded"


class GeneralError(LLMError):
    """None of the other classes fits."""


CLASSES: dict[str, type[LLMError]] = {
    cls.error_type: cls
    for cls in (
        ValidationError, AuthError, PermissionDeniedError, QuotaExceededError, RateLimitError, OverloadedError,
        TimeoutError, ConnectionError, ServerError, RequestTooLargeError, ContextLengthError, ContentFilterError,
        ModelNotFoundError, UnsupportedFeatureError, MalformedResponseError, EmptyResponseError,
        IncompleteStreamError, CancelledError, CircuitOpenError, LimitExceededError, GeneralError,
    )
}  # fmt: skip
"""The closed set: `error_type` -> exception class."""
