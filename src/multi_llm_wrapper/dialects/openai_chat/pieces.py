"""Lists of parts that come in pieces, put together as the host would have sent them in one body.

Mistral streams `content` as lists of parts, OpenRouter `reasoning_details`; both want the whole list back in the next
turn. A piece that continues a part repeats its type (and its index).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_JOINED = frozenset({"text", "summary", "thinking", "transcript", "data"})
"""Fields of a part whose pieces are texts to be joined; of any other field the last value counts."""


def gathered(deltas: list[list[Any]]) -> list[Any]:
    """The parts, given the list of each delta. Only the first part of a delta can continue what came before."""
    return [joined(group) for group in _groups(deltas)]


def joined(pieces: list[Any]) -> Any:
    """One part from its pieces, which are objects when they are several."""
    return pieces[0] if len(pieces) == 1 else _merged(pieces, _inner)


def _inner(lists: list[list[Any]]) -> list[Any]:
    """The list inside a part (Mistral's `thinking`); lists deeper inside are not looked into."""
    return [group[0] if len(group) == 1 else _merged(group, _concatenated) for group in _groups(lists)]


def _concatenated(lists: list[list[Any]]) -> list[Any]:
    return [item for one in lists for item in one]


def _groups(deltas: list[list[Any]]) -> list[list[Any]]:
    groups: list[list[Any]] = []
    for delta in deltas:
        for position, part in enumerate(delta):
            if position == 0 and groups and _continues(groups[-1], part):
                groups[-1].append(part)
            else:
                groups.append([part])
    return groups


def _continues(group: list[Any], part: Any) -> bool:
    first, last = group[0], group[-1]
    if type(first) is not dict or type(part) is not dict or last.get("closed") or "data" in part:
        return False
    if first.get("type") != part.get("type") or first.get("index") != part.get("index"):
        return False
    return part.get("id") is None or part.get("id") == first.get("id")


def _merged(pieces: list[Any], join_lists: Callable[[list[list[Any]]], list[Any]]) -> dict[str, Any]:
    fields: dict[str, list[Any]] = {}
    for piece in pieces:
        for name, value in piece.items():
            if value is not None:
                fields.setdefault(name, []).append(value)
    return {name: _value(name, values, join_lists) for name, values in fields.items()}


def _value(name: str, values: list[Any], join_lists: Callable[[list[list[Any]]], list[Any]]) -> Any:
    if name in _JOINED and all(type(value) is str for value in values):
        return "".join(values)
    if name in _JOINED and all(type(value) is list for value in values):
        return join_lists(values)
    return values[-1]
