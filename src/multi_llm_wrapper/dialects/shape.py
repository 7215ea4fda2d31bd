"""Reading JSON that somebody else wrote: each accessor gives the type asked for or says what was there instead.

Absent and null are the same (providers mix them freely); a wrong type is a `MalformedResponseError` that names the
place. On hot paths the dialects check `type(x) is dict` themselves and come here for the message.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from ..errors import MalformedResponseError

MAX_COUNT = 2**53
"""What is larger no JSON reader holds exactly, and no database column either."""

_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


def wrong(where: str, value: object, expected: str) -> NoReturn:
    raise MalformedResponseError(
        f"The reply is not in the provider's protocol: {where} is {_kind(value)}, expected {expected}.",
        code="unexpected_shape",
    )


def loads(data: bytes, where: str = "the reply") -> dict[str, Any]:
    """A JSON object from bytes."""
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedResponseError(
            f"{where[0].upper()}{where[1:]} is not JSON ({error}); it starts with {excerpt(data)}.", code="invalid_json"
        ) from None
    if type(value) is not dict:
        wrong(where, value, "an object")
    return value


def excerpt(data: bytes, limit: int = 80) -> str:
    """The beginning of a body for an error message, on one line."""
    text = " ".join(data[: limit * 4].decode("utf-8", "replace").split())
    return repr(text if len(text) <= limit else text[:limit] + "...")


def obj(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if type(value) is not dict:
        wrong(where, value, "an object")
    return value


def arr(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if type(value) is not list:
        wrong(where, value, "a list")
    return value


def text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        wrong(where, value, "a string")
    return value


def count(value: Any) -> int | None:
    """A token count, or None when it is not a sensible number (Cohere sends floats)."""
    kind = type(value)
    if kind is int or kind is float:
        return int(value) if 0 <= value < MAX_COUNT else None
    return None


def total(*counts: int | None) -> int | None:
    """The sum of what was reported; None when nothing was."""
    known = [c for c in counts if c is not None]
    return sum(known) if known else None


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
