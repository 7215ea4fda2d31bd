"""Strings and numbers for JSON schemas: within their bounds, and sensible where the schema leaves room."""

from __future__ import annotations

import math
from typing import Any

from . import samples
from .check import bounds, is_multiple, number
from .dice import Dice
from .merge import UnsatisfiableError, merge
from .pattern import compile_pattern

MAX_LENGTH = 100_000
"""Of strings that a schema may ask for."""
CHOICE = 100
"""Of so many numbers in a row one is picked, where there is no bound."""


def string(schema: dict[str, Any], dice: Dice, name: str) -> str:
    """`name` is that of the property it is for."""
    least, most = int(number(schema, "minLength", 0)), number(schema, "maxLength", math.inf)
    if least > MAX_LENGTH:
        raise UnsatisfiableError("it asks for too long a string")
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        return _matching(pattern, least, most, dice)
    value = samples.formatted(schema.get("format"), dice)
    if value is not None:
        return value
    return samples.fit(samples.text(name, dice), least, int(min(most, MAX_LENGTH)), dice)


def _matching(pattern: str, least: int, most: float, dice: Dice) -> str:
    make = compile_pattern(pattern)
    for extra in (2, 1, 0, 4, 8, least, 0, 1):
        value = make(dice, extra)
        if len(value) < least and not pattern.endswith("$"):
            value += "x" * (least - len(value))
        if least <= len(value) <= most:
            return value
    raise UnsatisfiableError(f"no string of the allowed length was found for the pattern {pattern!r}")


def integer(schema: dict[str, Any], dice: Dice) -> int:
    step = number(schema, "multipleOf", 1)
    if not float(step).is_integer():
        step = merge({"multipleOf": step}, {"multipleOf": 1})["multipleOf"]
    return int(_multiple(schema, int(step), dice))


def real(schema: dict[str, Any], dice: Dice) -> float:
    if "multipleOf" in schema:
        step = number(schema, "multipleOf", 1)
        return _multiple(schema, int(step) if float(step).is_integer() else step, dice)
    low, low_open, high, high_open = bounds(schema)
    if math.isinf(low) and math.isinf(high):
        return dice.below(10_000) / 100
    low = low if math.isfinite(low) else high - 100
    high = high if math.isfinite(high) else low + 100
    value = low + (high - low) * (1 + dice.below(99)) / 100  # strictly inside, for bounds that are open
    rounded = round(value, 2)
    if low < rounded < high:
        return rounded
    return value if low < value < high or not (low_open or high_open) else (low + high) / 2


def _multiple(schema: dict[str, Any], step: float, dice: Dice) -> float:
    """A multiple of `step` within the bounds."""
    if step <= 0:
        raise UnsatisfiableError("multipleOf must be more than 0")
    low, low_open, high, high_open = bounds(schema)
    if math.isinf(low):
        low = min(0, high) if math.isinf(high) else high - CHOICE * step
    first = math.ceil(low / step)
    if low_open and first * step <= low:
        first += 1
    count = CHOICE if math.isinf(high) else min(CHOICE, math.floor(high / step) - first + 1)
    start = dice.below(max(count, 1))
    for offset in range(count):
        value = _short((first + (start + offset) % count) * step, step)
        if (value < high or (value == high and not high_open)) and is_multiple(value, step):
            return value
    raise UnsatisfiableError("no multiple lies between its bounds")


def _short(value: float, step: float) -> float:
    """0.7 rather than 0.7000000000000001."""
    short = round(value, 9)
    return short if is_multiple(short, step) else value
