"""An attempt through a client that gives objects instead of bytes: the tests' double, and the litellm bridge.

What comes back has the shape of an OpenAI chat completion, as a dict or as an object with those attributes; it is read
by the same decoder as a reply from the wire, so it gets the same classes of error.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from . import dialects
from .attempt import Answer, whole
from .clock import Clock
from .errors import (
    ConnectionError,
    ContentFilterError,
    ContextLengthError,
    GeneralError,
    LLMError,
    MalformedResponseError,
    QuotaExceededError,
    TimeoutError,
    UnsupportedFeatureError,
)
from .fold import Fold
from .options import Options
from .routing import Target

if TYPE_CHECKING:
    from .call import Call


class Completion(Protocol):
    """Stands in for one attempt, above dialect and transport; the answer is an OpenAI-shaped dict or object."""

    def __call__(self, **request: Any) -> Awaitable[Any]: ...


class Asked(Protocol):
    """Who was asked, and whose clock it is."""

    @property
    def provider(self) -> str | None: ...

    @property
    def clock(self) -> Clock: ...


Change = Callable[[dict[str, Any]], dict[str, Any]]


async def answer(completion: Completion, call: Call, deadline: float) -> Answer:
    """One attempt through `completion`, before loop time `deadline`."""
    try:
        async with asyncio.timeout_at(deadline):
            result = await completion(**arguments(call, deadline))
    except LLMError:
        raise
    except Exception as error:
        raise classify(error, call) from error
    return read(result, call.target)


def read(result: Any, target: Target, change: Change = lambda completion: completion) -> Answer:
    """The answer in a completion, dict or object; `change` has the dict first."""
    body = to_json(result, change)
    dialect = dialects.get("openai_chat")
    fold = Fold(dialect.read_usage).add_all(dialect.decoder().reply(body))
    return Answer(whole(fold, target), raw=body)


def to_json(result: Any, change: Change = lambda completion: completion) -> bytes:
    try:
        return msgspec.json.encode(change(plain(result)))
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedResponseError(
            f"The completion cannot be written as JSON ({error}); return an OpenAI-shaped dict.",
            code="unexpected_shape",
        ) from None


def arguments(call: Call, deadline: float) -> dict[str, Any]:
    """The request as keyword arguments: who is asked, what, and the options that were given."""
    target, options = call.target, call.options
    given = {name: value for name, value in options.items() if value is not None and name in _PASSED_ON}
    return {
        "provider": target.provider,
        "model": target.model,
        "messages": msgspec.to_builtins(call.request.messages),
        "api_key": target.key,
        "timeout": max(0.0, deadline - call.now()),
        "headers": {name: value for name, value in target.headers.items() if name not in _KEY_HEADERS},
        **given,
    }


_PASSED_ON = frozenset(Options.__annotations__) - {
    "api_key", "system", "timeout", "timeouts", "max_retries", "fallbacks", "on_interrupt", "hedge_after", "cache",
    "cache_ttl", "raise_on_error", "keep_raw", "drop_unsupported",
}  # fmt: skip
_KEY_HEADERS = frozenset(("authorization", "x-api-key", "x-goog-api-key", "api-key"))


# --- objects to JSON --------------------------------------------------------------------------------------------

_CHOICE = ("index", "finish_reason", "message", "delta", "logprobs")
_MESSAGE = (
    "role",
    "content",
    "tool_calls",
    "function_call",
    "refusal",
    "reasoning_content",
    "reasoning",
    "annotations",
)
_DETAILS = ("cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens")
_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details")
_TOP = ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "error")

_FIELDS: dict[str, tuple[str, ...]] = {
    "choices": _CHOICE,
    "message": _MESSAGE,
    "delta": _MESSAGE,
    "usage": _USAGE,
    "prompt_tokens_details": _DETAILS,
    "completion_tokens_details": _DETAILS,
    "tool_calls": ("id", "type", "index", "function"),
    "function": ("name", "arguments"),
    "function_call": ("name", "arguments"),
    "error": ("message", "type", "code", "param"),
}
"""What is read of an object with attributes, by the name under which it was found."""


def plain(result: Any) -> dict[str, Any]:
    """An OpenAI-shaped dict of whatever came: a dict, a pydantic model, or any object with those attributes (a
    `MagicMock` has every attribute, so only values of plain types count)."""
    if isinstance(result, Mapping):
        return _clean(result)
    dump = getattr(result, "model_dump", None)
    dumped = dump() if callable(dump) else None
    if isinstance(dumped, dict):
        return _clean(dumped)
    if not isinstance(getattr(result, "choices", None), list):
        raise MalformedResponseError(
            f"The completion is a {type(result).__name__} without a list of choices; return an OpenAI-shaped dict.",
            code="no_choices",
        )
    return _read(result, _TOP)


def _read(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: _value(getattr(value, name, None), name) for name in names}
    return {name: inner for name, inner in found.items() if inner is not None}


def _value(value: Any, name: str) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return _clean(value)
    if isinstance(value, list | tuple):
        return [_value(item, name) for item in value]
    names = _FIELDS.get(name)
    return (_read(value, names) or None) if names is not None else None


def _clean(value: Mapping[Any, Any]) -> dict[str, Any]:
    """The same with everything JSON cannot hold read as an object of its name, or None."""
    return {str(k): _value(v, str(k)) for k, v in value.items()}


# --- exceptions to classes --------------------------------------------------------------------------------------

_CLASSES: dict[str, int | type[LLMError]] = {
    "ContextWindowExceededError": ContextLengthError,
    "ContentPolicyViolationError": ContentFilterError,
    "ContentFilterFinishReasonError": ContentFilterError,
    "UnsupportedParamsError": UnsupportedFeatureError,
    "BudgetExceededError": QuotaExceededError,
    "APIResponseValidationError": MalformedResponseError,
    "PaymentRequiredError": 402,
    "APITimeoutError": 408,
    "Timeout": 408,
    "APIConnectionError": ConnectionError,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "UnprocessableEntityError": 422,
    "RateLimitError": 429,
    "InternalServerError": 500,
    "BadGatewayError": 502,
    "ServiceUnavailableError": 503,
    "InvalidRequestError": 400,
    "BadRequestError": 400,
}
"""The exception classes of litellm and the vendors' SDKs: the class they mean, or the status they stand for."""


def classify(error: Exception, call: Asked) -> LLMError:
    """The class of a foreign exception: by its own class or the nearest above it, then by the status it carries;
    never by its text."""
    name = type(error).__name__
    if isinstance(error, builtins.TimeoutError):
        return TimeoutError(f"{call.provider} did not answer in time ({name}).", code="attempt_timeout")
    known = next((_CLASSES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _CLASSES), None)
    if isinstance(error, builtins.ConnectionError) or known is ConnectionError:
        return ConnectionError(f"{call.provider} could not be reached ({name}: {error}).", code=name)
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 300 <= status <= 599:
        status = known if isinstance(known, int) else None
    if isinstance(known, type):
        what = "failed" if known is MalformedResponseError else "refused the request"
        return known(f"{call.provider} {what} ({name}: {error}).", status_code=status, code=name)
    if status is None:
        return GeneralError(f"{call.provider} failed ({name}: {error}).", code=name)
    return _by_status(error, status, call.clock.time())


def _by_status(error: Exception, status: int, now: float) -> LLMError:
    from .dialects import failures  # at the first failure: importing it takes time that no good answer needs

    headers = getattr(getattr(error, "response", None), "headers", None)
    lowered = {str(k).lower(): str(v) for k, v in headers.items()} if isinstance(headers, Mapping) else {}
    code = getattr(error, "code", None)
    body = msgspec.json.encode({"error": {"message": str(error), "code": code if isinstance(code, str) else None}})
    return failures.classify(status, lowered, body, now)
