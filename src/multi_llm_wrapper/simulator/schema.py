"""A value that satisfies a JSON schema: the arguments of simulated tool calls, and answers in a format asked for.

What is made is checked before it leaves: it is valid, or `UnsatisfiableError` says why there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from . import scalars
from .check import (
    TYPES,
    Schema,
    TooDeepError,
    array_items,
    equal,
    matches,
    number,
    property_schemas,
    required,
    resolve,
    types,
)
from .dice import Dice
from .merge import UnsatisfiableError, merge
from .pattern import UnsupportedPatternError

ATTEMPTS = 8
"""How many values are made and checked before a schema counts as unsatisfiable."""
FULL_DEPTH = 3
"""Below this depth only what is required is made."""
MAX_DEPTH = 24
MAX_STEPS = 3000
"""Of one attempt; a schema that branches without end stops here."""
MAX_ITEMS = 10_000
"""Of lists that a schema may ask for."""


def generate(schema: Schema, dice: Dice) -> Any:
    """A value for `schema`, the same for the same throws. Raises `UnsatisfiableError`."""
    reason = "nothing that was tried fits it"
    for _ in range(ATTEMPTS):
        try:
            value = _Maker(schema, dice).make(schema, 0, "")
            if matches(value, schema, schema):
                return value
        except UnsatisfiableError as error:
            reason = str(error)
        except KeyError as error:
            raise UnsatisfiableError(str(error.args[0])) from None
        except (TooDeepError, RecursionError):
            reason = "it leads into itself without end"
        except (OverflowError, UnsupportedPatternError) as error:
            reason = f"not supported here: {error}"
    raise UnsatisfiableError(reason)


class _Maker:
    """One attempt."""

    def __init__(self, root: Schema, dice: Dice) -> None:
        self._root = root
        self._dice = dice
        self._steps = MAX_STEPS
        self._by_type: dict[str, Callable[[dict[str, Any], int, str], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": lambda schema, depth, name: scalars.string(schema, dice, name),
            "integer": lambda schema, depth, name: scalars.integer(schema, dice),
            "number": lambda schema, depth, name: scalars.real(schema, dice),
            "boolean": lambda schema, depth, name: dice.below(2) == 1,
            "null": lambda schema, depth, name: None,
        }

    def make(self, schema: Schema, depth: int, name: str) -> Any:
        """`name` is that of the property the value is for; it hints at what a reader expects."""
        self._count(depth)
        schema = self._flat(schema, 0)
        if "const" in schema:
            return self._chosen([schema["const"]], schema)
        if isinstance(schema.get("enum"), list):
            return self._chosen(schema["enum"], schema)
        if "if" in schema and "anyOf" not in schema:
            yes = {"allOf": [schema["if"], schema.get("then", True)]}
            rest = {key: value for key, value in schema.items() if key not in ("if", "then", "else")}
            schema = {**rest, "anyOf": [yes, schema.get("else", True)]}
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), list):
                return self._branch(schema, keyword, depth, name)
        if depth >= FULL_DEPTH and schema.get("nullable") is True:
            return None
        return self._by_type[self._type(schema, depth)](schema, depth, name)

    def _count(self, depth: int) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise UnsatisfiableError("it asks for too much")
        if depth > MAX_DEPTH:
            raise UnsatisfiableError("it leads into itself without end")

    def _flat(self, schema: Schema, depth: int) -> dict[str, Any]:
        """The schema with its references and `allOf` merged into it."""
        if schema is False:
            raise UnsatisfiableError("a part of it allows nothing")
        if not isinstance(schema, dict):
            return {}
        if "$ref" not in schema and "allOf" not in schema:
            return schema
        self._count(depth)
        flat = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        if "$ref" in schema:
            flat = merge(flat, self._flat(resolve(self._root, schema["$ref"]), depth + 1))
        parts = schema.get("allOf")
        for part in parts if isinstance(parts, list) else ():
            flat = merge(flat, self._flat(part, depth + 1))
        return self._flat(flat, depth + 1)

    def _chosen(self, values: list[Any], schema: dict[str, Any]) -> Any:
        """One of the values given, if the rest of the schema allows it."""
        fitting = [value for value in values if matches(value, schema, self._root)]
        if not fitting:
            raise UnsatisfiableError("no value of its enum fits the rest of it")
        return self._dice.pick(fitting)

    def _branch(self, schema: dict[str, Any], keyword: str, depth: int, name: str) -> Any:
        """One of the alternatives; deep down the simplest that works, so that recursion ends."""
        rest = {key: value for key, value in schema.items() if key != keyword}
        branches = self._dice.order(schema[keyword])
        # null is for when nothing else ends: an answer with something in it is the better test
        branches.sort(key=_weight if depth >= FULL_DEPTH else _is_null)
        reason = f"its {keyword} is empty"
        for branch in branches:
            try:
                return self.make(merge(rest, self._flat(branch, 0)), depth + 1, name)
            except UnsatisfiableError as error:
                reason = str(error)
        raise UnsatisfiableError(reason)

    def _type(self, schema: dict[str, Any], depth: int) -> str:
        if "type" not in schema:
            return _implied_type(schema)
        known = [name for name in types(schema) if name in TYPES]
        if not known:
            raise UnsatisfiableError(f"there is no type {schema['type']!r}")
        if depth >= FULL_DEPTH and "null" in known:
            return "null"
        return self._dice.pick([name for name in known if name != "null"] or known)

    # --- one method for each type -------------------------------------------------------------------------------

    def _object(self, schema: dict[str, Any], depth: int, name: str) -> dict[str, Any]:
        value: dict[str, Any] = {}
        properties = schema.get("properties")
        wanted = list(properties) if isinstance(properties, dict) else []
        must = required(schema, value)
        most = number(schema, "maxProperties", math.inf)
        for key in [*(key for key in wanted if key in must), *(key for key in must if key not in wanted)]:
            value[key] = self._property(schema, key, depth)
        for key in wanted:
            if key not in value and len(value) < most and self._wants_optional(depth):
                try:
                    value[key] = self._property(schema, key, depth)
                except UnsatisfiableError:
                    continue
        self._fill(schema, value, wanted, depth)
        if isinstance(properties, dict):  # in the order in which the schema names them, as models do
            value = {**{key: value[key] for key in wanted if key in value}, **value}
        return value

    def _property(self, schema: dict[str, Any], key: str, depth: int) -> Any:
        return self.make({"allOf": property_schemas(schema, key)}, depth + 1, key)

    def _wants_optional(self, depth: int) -> bool:
        return depth < FULL_DEPTH and self._steps > MAX_STEPS // 2 and self._dice.below(4) > 0

    def _fill(self, schema: dict[str, Any], value: dict[str, Any], wanted: list[str], depth: int) -> None:
        """What `dependentRequired` wants, and as many properties as `minProperties`."""
        for _ in range(len(wanted) + 1):
            for key in required(schema, value):
                if key not in value:
                    value[key] = self._property(schema, key, depth)
        least = number(schema, "minProperties", 0)
        for key in (key for key in wanted if key not in value):
            if len(value) >= least:
                return
            value[key] = self._property(schema, key, depth)
        names: Schema = {"type": "string"}
        if schema.get("additionalProperties") is False and schema.get("patternProperties"):
            names["pattern"] = self._dice.pick(list(schema["patternProperties"]))
        while len(value) < least:
            key = str(self.make(merge(names, schema.get("propertyNames", True)), depth + 1, ""))
            key = key if key not in value else f"{key}_{len(value)}"
            value[key] = self._property(schema, key, depth)

    def _array(self, schema: dict[str, Any], depth: int, name: str) -> list[Any]:
        first, rest = array_items(schema)
        least, most = int(number(schema, "minItems", 0)), number(schema, "maxItems", math.inf)
        if least > MAX_ITEMS:
            raise UnsatisfiableError("it asks for too long a list")
        wanted = least if depth >= FULL_DEPTH else max(least, len(first), 1 + self._dice.below(3))
        contains = int(number(schema, "minContains", 1)) if "contains" in schema else 0
        value: list[Any] = []
        for index in range(int(min(max(wanted, contains), most))):
            part = first[index] if index < len(first) else rest
            if contains and index >= len(first):
                part, contains = {"allOf": [part, schema["contains"]]}, contains - 1
            try:
                value.append(self._item(part, depth, name, value if schema.get("uniqueItems") is True else []))
            except UnsatisfiableError:
                if len(value) < least:
                    raise
                break
        return value

    def _item(self, part: Schema, depth: int, name: str, others: list[Any]) -> Any:
        singular = name.removesuffix("s")
        for _ in range(20):
            item = self.make(part, depth + 1, singular)
            if not any(equal(item, other) for other in others):
                return item
        raise UnsatisfiableError("there are not enough different items")


def _implied_type(schema: dict[str, Any]) -> str:
    """The type that a schema without one speaks about."""
    for name, keywords in _IMPLIES.items():
        if any(keyword in schema for keyword in keywords):
            return name
    return "string"


_IMPLIES = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties", "propertyNames"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _is_null(branch: Schema) -> bool:
    return isinstance(branch, dict) and branch.get("type") == "null"


def _weight(branch: Schema) -> int:
    """How far a branch may lead on."""
    if not isinstance(branch, dict) or "$ref" in branch:
        return 3
    if "const" in branch or "enum" in branch or "null" in types(branch):
        return 0
    return 2 if {"object", "array"} & set(types(branch)) else 1
