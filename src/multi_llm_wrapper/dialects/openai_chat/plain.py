"""The short way for the usual body: one choice, text alone, the fields that OpenAI itself sends.

It reads in one step what `reply` and the fold read as pieces, and takes nothing that it does not know to the last
field: any other body is None here and goes the long way. That both give the same is a property test.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ...fold import reported
from ...types import Reply
from .finish import FAILURES, read_reason
from .usage import read_usage

Empty = Annotated[list[Any], Meta(max_length=0)]
Word = Annotated[str, Meta(min_length=1)]


class _Message(Struct, forbid_unknown_fields=True):
    content: str
    role: str | None = None
    refusal: None = None
    annotations: Empty | None = None
    tool_calls: Empty | None = None


class _Choice(Struct, forbid_unknown_fields=True):
    message: _Message
    finish_reason: Word
    index: Literal[0] = 0
    logprobs: None = None


class _Body(Struct, forbid_unknown_fields=True):
    choices: tuple[_Choice]
    id: str | None = None
    object: str | None = None
    created: int | float | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None


_read = msgspec.json.Decoder(_Body).decode


def plain(body: bytes) -> Reply | None:
    """The reply of a usual body; None for all others, also for those that are no answer."""
    try:
        found = _read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    choice = found.choices[0]
    word = choice.finish_reason
    if word in FAILURES:
        return None
    extras: dict[str, Any] = {}
    if found.service_tier:
        extras["service_tier"] = found.service_tier
    if found.system_fingerprint:
        extras["system_fingerprint"] = found.system_fingerprint
    return Reply(
        content=choice.message.content,
        finish_reason=read_reason(word),
        provider_finish_reason=word,
        usage=reported(read_usage(found.usage)) if found.usage else None,
        raw_usage=found.usage or None,
        response_id=found.id or None,
        response_model=found.model or None,
        extras=extras,
    )


__all__ = ["plain"]
