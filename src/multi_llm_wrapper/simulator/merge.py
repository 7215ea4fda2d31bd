"""Two JSON schemas that must both hold, written as one, so that a value can be made for both at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .check import TYPES, Schema, equal, types

MAX_BRANCHES = 64


class UnsatisfiableError(Exception):
    """No value satisfies the schema, or none that is found here; the message says what stands in the way."""


def merge(a: Schema, b: Schema) -> dict[str, Any]:
    """A schema for what satisfies both. Raises `UnsatisfiableError` where that is plainly nothing.

    Not every pair of keywords can be written as one (two patterns, say): then the first stays, and the check of the
    finished value decides.
    """
    if a is False or b is False:
        raise UnsatisfiableError("a part of it allows nothing")
    first = a if isinstance(a, dict) else {}
    second = b if isinstance(b, dict) else {}
    merged = {**second, **first}
    for name in first.keys() & second.keys():
        rule = _RULES.get(name)
        if rule is not None:
            merged[name] = rule(first[name], second[name])
    if "type" in first and "type" in second:
        merged["type"] = _both_types(first, second)
    return merged


def _both_types(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    mine, others = set(types(a)), set(types(b))
    both = [
        name
        for name in TYPES
        if (name in mine and name in others)
        or (name == "integer" and (name in mine or name in others) and "number" in mine | others)
    ]
    if not both:
        raise UnsatisfiableError("it asks for two types at once")
    return both


def _enum(a: Any, b: Any) -> Any:
    if not isinstance(a, list) or not isinstance(b, list):
        return a
    return [value for value in a if any(equal(value, other) for other in b)]


def _const(a: Any, b: Any) -> Any:
    if not equal(a, b):
        raise UnsatisfiableError("it asks for two constants at once")
    return a


def _union(a: Any, b: Any) -> Any:
    return [*a, *(x for x in b if x not in a)] if isinstance(a, list) and isinstance(b, list) else a


def _properties(a: Any, b: Any) -> Any:
    if not isinstance(a, dict) or not isinstance(b, dict):
        return a
    return {
        name: _both(a[name], b[name]) if name in a and name in b else a.get(name, b.get(name)) for name in {**a, **b}
    }


def _both(a: Any, b: Any) -> Any:
    return {"allOf": [a, b]}


def _branches(a: Any, b: Any) -> Any:
    if not isinstance(a, list) or not isinstance(b, list):
        return a
    return [_both(x, y) for x in a for y in b][:MAX_BRANCHES]


def _multiple(a: Any, b: Any) -> Any:
    """The least common multiple; of fractions too."""
    try:
        x, y = Fraction(str(a)), Fraction(str(b))
        both = Fraction(
            math.lcm(x.numerator * y.denominator, y.numerator * x.denominator), x.denominator * y.denominator
        )
    except (ValueError, ZeroDivisionError):
        return a
    return int(both) if both.denominator == 1 else float(both)


def _highest(a: Any, b: Any) -> Any:
    return max(a, b) if _number(a) and _number(b) else a


def _lowest(a: Any, b: Any) -> Any:
    return min(a, b) if _number(a) and _number(b) else a


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_RULES: dict[str, Callable[[Any, Any], Any]] = {
    "enum": _enum,
    "const": _const,
    "required": _union,
    "allOf": _union,
    "properties": _properties,
    "patternProperties": _properties,
    "items": _both,
    "contains": _both,
    "additionalProperties": _both,
    "propertyNames": _both,
    "anyOf": _branches,
    "oneOf": _branches,
    "multipleOf": _multiple,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"), _highest),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"), _lowest),
}
