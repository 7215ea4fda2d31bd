"""One attempt, and its answer: objects in OpenAI's shape, which the OpenAI dialect reads once they are tidy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from .. import foreign
from ..attempt import Answer
from ..dialects import waits
from ..errors import LLMError
from .attempt import Attempt
from .exceptions import classify
from .package import load
from .request import arguments

T = TypeVar("T")


async def ask(attempt: Attempt, deadline: float) -> Any:
    """What `litellm.acompletion` gives before loop time `deadline`: a completion, or chunks. Raises `LLMError`."""
    try:
        async with asyncio.timeout_at(deadline):
            litellm = await load()
            return await _alone(litellm.acompletion(**arguments(attempt, deadline)))
    except LLMError:
        raise
    except Exception as error:
        raise classify(error, attempt) from error


async def _alone(work: Awaitable[T]) -> T:
    """The result of `work`, in a task of its own: so no exception that the caller is handling is in the context of what
    it raises, where `classify` looks for its origin."""

    async def run() -> T:
        return await work

    return await asyncio.create_task(run())


def whole(result: Any, attempt: Attempt) -> Answer:
    """The answer in a completion."""
    kept = headers(result)
    read = foreign.read(result, attempt.target, tidy)
    return Answer(read.reply, request_id(kept), waits.rate_limit(kept, attempt.clock.time()), read.raw)


# --- tidying ----------------------------------------------------------------------------------------------------------


def tidy(completion: dict[str, Any]) -> dict[str, Any]:
    """Without what says nothing, and with litellm's own fields where the decoder looks for them. Signed thinking comes
    in pieces as OpenRouter's `reasoning_details` do, so it is called that until it goes back."""
    tidied: dict[str, Any] = _without_nothing(completion)
    tidied.pop("provider_specific_fields", None)
    if "choices" in completion:
        tidied.setdefault("choices", [])
    choices = tidied.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            _spread(choice)
            for name in ("message", "delta"):
                if isinstance(choice.get(name), dict):
                    _tidy_message(choice[name])
            if choice.get("finish_reason") == "tool_calls" and _calls_nothing(choice.get("message")):
                choice["finish_reason"] = (
                    "stop"  # litellm's way to JSON where a model has no schemas is a tool of its own
                )
    return tidied


def _calls_nothing(message: Any) -> bool:
    return isinstance(message, dict) and not message.get("tool_calls")


def _tidy_message(message: dict[str, Any]) -> None:
    _spread(message)
    if blocks := message.pop("thinking_blocks", None):
        message["reasoning_details"] = blocks


def _spread(value: dict[str, Any]) -> None:
    """`provider_specific_fields` as fields beside the others, which win."""
    own = value.pop("provider_specific_fields", None)
    for name, item in own.items() if isinstance(own, dict) else ():
        value.setdefault(name, item)


def _without_nothing(value: Any) -> Any:
    """Objects without nulls, empty lists and empty objects, at every depth."""
    if isinstance(value, dict):
        inner = {name: _without_nothing(item) for name, item in value.items()}
        return {name: item for name, item in inner.items() if item is not None and item != [] and item != {}}
    return [_without_nothing(item) for item in value] if isinstance(value, list) else value


# --- headers ----------------------------------------------------------------------------------------------------------


def headers(result: Any) -> dict[str, str]:
    """The provider's headers, lower case, as far as litellm keeps them."""
    hidden = getattr(result, "_hidden_params", None)
    kept = hidden.get("additional_headers") if isinstance(hidden, dict) else None
    if not isinstance(kept, Mapping):
        return {}
    return {str(name).lower().removeprefix("llm_provider-"): str(value) for name, value in kept.items()}


def request_id(kept: Mapping[str, str]) -> str | None:
    return kept.get("x-request-id") or kept.get("request-id")
