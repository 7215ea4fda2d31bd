"""Server side: reading a request's fields, refused in the words of the real API (those of pydantic) when wrong."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from ...errors import ValidationError

T = TypeVar("T")

_WORDS: dict[type, str] = {
    bool: "boolean",
    dict: "dictionary",
    float: "number",
    int: "integer",
    list: "list",
    str: "string",
}


def invalid(message: str) -> NoReturn:
    raise ValidationError(message, status_code=400, code="invalid_request_error", rejected_by="provider")


def required(fields: dict[str, Any], name: str, kind: type[T], prefix: str = "") -> T:
    value = optional(fields, name, kind, prefix)
    if value is None:
        invalid(f"{prefix}{name}: Field required")
    return value


def optional(fields: dict[str, Any], name: str, kind: type[T], prefix: str = "") -> T | None:
    """The field, None when it is absent or null. `prefix` is the place of `fields`, with its dot."""
    value = fields.get(name)
    return None if value is None else typed(value, kind, f"{prefix}{name}")


def typed(value: Any, kind: type[T], where: str) -> T:
    if type(value) is int and kind is float:
        value = float(value)
    if type(value) is not kind:
        invalid(f"{where}: Input should be a valid {_WORDS[kind]}")
    found: T = value
    return found


def objects(items: list[Any], where: str) -> list[tuple[str, dict[str, Any]]]:
    """Each object of a list with its place."""
    return [(f"{where}.{i}", typed(item, dict, f"{where}.{i}")) for i, item in enumerate(items)]


def one_of(value: str, words: dict[str, Any], where: str) -> None:
    if value not in words:
        *first, last = (f"'{word}'" for word in words)
        known = f"{', '.join(first)} or {last}" if first else last
        invalid(f"{where}: Input should be {known}")
