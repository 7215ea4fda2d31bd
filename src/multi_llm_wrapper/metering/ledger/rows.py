"""A record as a row. What was asked and answered is in neither."""

from __future__ import annotations

from typing import Any

import msgspec

from ...response import usage_dict
from ...types import Usage
from ..record import Record, Share

COLUMNS = (
    "time",
    "status",
    "asked",
    "provider",
    "model",
    "streamed",
    "cached",
    "response_time",
    "time_to_first_token",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "error_type",
    "code",
    "status_code",
    "finish_reason",
    "request_id",
    "response_id",
    "attempts",
    "retries",
    "hedges",
    "tags",
    "shares",
)
"""In the order of `row`."""

MAX_NAME = 256
"""Characters of a model's name that are kept."""
_NOTHING = Usage()
_encode = msgspec.json.Encoder(decimal_format="string").encode


def row(record: Record) -> tuple[Any, ...]:
    usage = record.usage or _NOTHING
    shares = record.shares
    return (
        record.timestamp,
        record.status,
        _name(record.asked),
        record.provider,
        _name(record.model),
        record.streamed,
        record.cached,
        record.response_time,
        record.time_to_first_token,
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        None if record.cost is None else f"{record.cost:f}",
        record.error_type,
        record.code,
        record.status_code,
        record.finish_reason,
        record.request_id,
        record.response_id,
        record.attempts,
        sum(share.retries for share in shares),
        sum(share.hedges for share in shares),
        _json(dict(record.tags)) if record.tags else None,
        None if _said(record) else _json([_share(share) for share in shares]),
    )


def mended(record: Record) -> Record:
    """The same with a "?" for what no file can hold: half a character, in a name or a tag that was no proper text."""
    return msgspec.convert(_mended(msgspec.to_builtins(record)), Record)


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_mended(name): _mended(one) for name, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list) else value


def _said(record: Record) -> bool:
    """Whether the row says all of the shares: at most one was asked, and it is the one that the row names."""
    if len(record.shares) != 1:
        return not record.shares
    share, error_type = record.shares[0], record.error_type if record.status == "error" else None
    said = record.provider, record.model, error_type, record.cost
    return (share.provider, share.model, share.error_type, share.cost) == said


def _name(model: str | None) -> str | None:
    """What is longer is no name; a prompt, perhaps, given in its place."""
    return model[:MAX_NAME] if model is not None else None


def _share(share: Share) -> dict[str, Any]:
    """In the words of the columns; what is not known is left out."""
    facts = {
        "provider": share.provider,
        "model": share.model,
        "seconds": share.seconds,
        **usage_dict(share.usage or _NOTHING),
        "cost_usd": None if share.cost is None else f"{share.cost:f}",
        "unpriced": share.partly_priced or None,
        "error_type": share.error_type,
        "attempts": share.attempts,
        "retries": share.retries,
        "hedges": share.hedges,
        "first_token": share.first_token,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _json(value: Any) -> str:
    return _encode(value).decode()


__all__ = ["COLUMNS", "mended", "row"]
