"""What `response_format` asked for, read out of the answer: `response.parsed`."""

from __future__ import annotations

from typing import Any

import msgspec

from .options import response_schema
from .schema import matches


def parse(wanted: Any, content: str) -> Any:
    """The JSON value, or an instance when `wanted` is a class; None when the text is no JSON or does not match."""
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    if isinstance(wanted, type):
        return _instance(wanted, value)
    schema = response_schema(wanted)
    return value if schema is not None and matches(value, schema.schema) else None


def _instance(kind: type[Any], value: Any) -> Any:
    """By pydantic's `model_validate` where the class has it, else by keyword; whatever the class raises, it did not
    match."""
    try:
        validate = getattr(kind, "model_validate", None)
        return validate(value) if validate is not None else kind(**value)
    except Exception:
        return None
