"""Whether a value satisfies a JSON schema: the last look at what was generated, before it is sent.

The vocabulary of draft 2020-12 that validates (with the older spellings of `items`); `format` and `unevaluated*` are
notes here, as they are for most validators. A keyword with a malformed value counts as absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

Schema = Any
"""A JSON schema: an object or a boolean; anything else allows everything."""

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")

MAX_DEPTH = 64


class TooDeepError(Exception):
    """A schema that leads into itself without end."""


def resolve(root: Schema, ref: Any) -> Schema:
    """What a `$ref` within the same document points to (RFC 6901); a `KeyError` for all others."""
    if not isinstance(ref, str) or not ref.startswith("#"):
        raise KeyError(f"$ref {ref!r} leads out of the schema")
    node = root
    for token in unquote(ref[1:]).split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list) and token.isdecimal() and int(token) < len(node):
            node = node[int(token)]
        else:
            raise KeyError(f"$ref {ref!r} points to nothing")
    if ref[1:2] not in ("", "/"):
        raise KeyError(f"$ref {ref!r} is an anchor, which is not followed")
    return node


def equal(a: Any, b: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, but true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return bool(a == b)


def types(schema: dict[str, Any]) -> list[str]:
    """The types allowed, all of them when none is named. (Gemini writes them in capitals.)"""
    named = schema.get("type", TYPES)
    return [name.lower() for name in (named if isinstance(named, list | tuple) else [named]) if isinstance(name, str)]


def has_type(value: Any, name: str) -> bool:
    """Whether a value has a type of JSON schema."""
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, int | float):
        return name == "number" or (name == "integer" and (isinstance(value, int) or value.is_integer()))
    names: dict[Any, str] = {str: "string", list: "array", dict: "object", type(None): "null"}
    return names.get(type(value)) == name


def matches(value: Any, schema: Schema, root: Schema) -> bool:
    """Whether `value` satisfies `schema`, a part of `root`. Raises `TooDeepError`, and `KeyError` for a dead `$ref`."""
    return _Checker(root).ok(value, schema, 0)


class _Checker:
    def __init__(self, root: Schema) -> None:
        self._root = root

    def ok(self, value: Any, schema: Schema, depth: int) -> bool:
        if not isinstance(schema, dict):
            return schema is not False
        if depth > MAX_DEPTH:
            raise TooDeepError
        if "$ref" in schema and not self.ok(value, resolve(self._root, schema["$ref"]), depth + 1):
            return False
        if value is None and schema.get("nullable") is True:  # OpenAPI 3.0
            return True
        if not _simple(value, schema) or not self._combined(value, schema, depth):
            return False
        if isinstance(value, list):
            return self._array(value, schema, depth)
        return not isinstance(value, dict) or self._object(value, schema, depth)

    def _combined(self, value: Any, schema: dict[str, Any], depth: int) -> bool:
        def ok(branch: Schema) -> bool:
            return self.ok(value, branch, depth + 1)

        if "if" in schema and not ok(schema.get("then" if ok(schema["if"]) else "else", True)):
            return False
        return (
            all(map(ok, _list(schema, "allOf")))
            and ("anyOf" not in schema or any(map(ok, _list(schema, "anyOf"))))
            and ("oneOf" not in schema or sum(map(ok, _list(schema, "oneOf"))) == 1)
            and ("not" not in schema or not ok(schema["not"]))
        )

    def _array(self, value: list[Any], schema: dict[str, Any], depth: int) -> bool:
        first, rest = array_items(schema)
        pairs = [*zip(value, first, strict=False), *((item, rest) for item in value[len(first) :])]
        if not all(self.ok(item, part, depth + 1) for item, part in pairs):
            return False
        if "contains" in schema:
            found = sum(self.ok(item, schema["contains"], depth + 1) for item in value)
            if not number(schema, "minContains", 1) <= found <= number(schema, "maxContains", math.inf):
                return False
        return schema.get("uniqueItems") is not True or all_different(value)

    def _object(self, value: dict[str, Any], schema: dict[str, Any], depth: int) -> bool:
        for key, item in value.items():
            if not all(self.ok(item, part, depth + 1) for part in property_schemas(schema, key)):
                return False
            if "propertyNames" in schema and not self.ok(key, schema["propertyNames"], depth + 1):
                return False
        dependent = schema.get("dependentSchemas")
        for key, part in dependent.items() if isinstance(dependent, dict) else ():
            if key in value and not self.ok(value, part, depth + 1):
                return False
        return all(name in value for name in required(schema, value))


def _simple(value: Any, schema: dict[str, Any]) -> bool:
    """The keywords that look at one value alone."""
    if "type" in schema and not any(has_type(value, name) for name in types(schema)):
        return False
    if "const" in schema and not equal(value, schema["const"]):
        return False
    if isinstance(schema.get("enum"), list) and not any(equal(value, choice) for choice in schema["enum"]):
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_ok(value, schema)
    if isinstance(value, str):
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and not searches(pattern)(value):
            return False
        return number(schema, "minLength", 0) <= len(value) <= number(schema, "maxLength", math.inf)
    if isinstance(value, list):
        return number(schema, "minItems", 0) <= len(value) <= number(schema, "maxItems", math.inf)
    if isinstance(value, dict):
        return number(schema, "minProperties", 0) <= len(value) <= number(schema, "maxProperties", math.inf)
    return True


def _number_ok(value: float, schema: dict[str, Any]) -> bool:
    low, low_open, high, high_open = bounds(schema)
    step = number(schema, "multipleOf", 0)
    return (
        (value > low if low_open else value >= low)
        and (value < high if high_open else value <= high)
        and (step <= 0 or is_multiple(value, step))
    )


def is_multiple(value: float, step: float) -> bool:
    """As validators see it: the quotient is whole, in floating point where floats are involved."""
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    quotient = value / step
    return math.isfinite(quotient) and quotient == math.floor(quotient)


def bounds(schema: dict[str, Any]) -> tuple[float, bool, float, bool]:
    """Lower bound and whether it is open, upper bound and whether it is open; also as draft 4 said it."""
    low, high = number(schema, "minimum", -math.inf), number(schema, "maximum", math.inf)
    low_open, high_open = schema.get("exclusiveMinimum") is True, schema.get("exclusiveMaximum") is True
    above, below = number(schema, "exclusiveMinimum", -math.inf), number(schema, "exclusiveMaximum", math.inf)
    if above >= low and above > -math.inf:
        low, low_open = above, True
    if below <= high and below < math.inf:
        high, high_open = below, True
    return low, low_open, high, high_open


def array_items(schema: dict[str, Any]) -> tuple[list[Schema], Schema]:
    """Schemas of the first items, and of all others."""
    if isinstance(schema.get("prefixItems"), list):
        return schema["prefixItems"], schema.get("items", True)
    if isinstance(schema.get("items"), list):
        return schema["items"], schema.get("additionalItems", True)
    return [], schema.get("items", True)


def property_schemas(schema: dict[str, Any], key: str) -> list[Schema]:
    """All that a property of this name has to satisfy."""
    found = []
    properties, patterns = schema.get("properties"), schema.get("patternProperties")
    if isinstance(properties, dict) and key in properties:
        found.append(properties[key])
    if isinstance(patterns, dict):
        found += [part for pattern, part in patterns.items() if searches(pattern)(key)]
    return found or [schema.get("additionalProperties", True)]


def required(schema: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """Names that must be there, given those that are."""
    names = [name for name in _list(schema, "required") if isinstance(name, str)]
    for keyword in ("dependentRequired", "dependencies"):
        dependent = schema.get(keyword)
        for name, others in dependent.items() if isinstance(dependent, dict) else ():
            if name in present and isinstance(others, list):
                names += [other for other in others if isinstance(other, str)]
    return names


def all_different(values: list[Any]) -> bool:
    return not any(equal(a, b) for i, a in enumerate(values) for b in values[:i])


def searches(pattern: str) -> Callable[[str], object]:
    """The expression as a search; one that Python cannot read finds nothing."""
    try:
        return re.compile(pattern).search
    except (re.error, OverflowError, RecursionError):
        return lambda text: None


def number(schema: dict[str, Any], name: str, default: float) -> float:
    """A numeric keyword, or `default` when it is none."""
    value = schema.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _list(schema: dict[str, Any], name: str) -> list[Any]:
    value = schema.get(name)
    return value if isinstance(value, list) else []
