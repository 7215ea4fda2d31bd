"""Whether a JSON value matches a JSON schema, for the part of JSON Schema that providers accept in `response_format`.

Unknown keywords do not restrict, as the standard has it. Formats are not checked (they are annotations there too).
https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

_MAX_DEPTH = 100


def matches(value: Any, schema: Any) -> bool:
    """False also when the schema is none, or so deep or circular that it cannot be followed."""
    try:
        return _matches(value, schema, schema, 0)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, re.error):
        return False


def _matches(value: Any, schema: Any, root: Any, depth: int) -> bool:
    if isinstance(schema, bool):
        return schema
    if depth > _MAX_DEPTH:
        raise RecursionError  # ends the whole comparison: each `anyOf` on the way up would only try again
    if not isinstance(schema, Mapping):
        return False
    target = schema.get("$ref")
    if isinstance(target, str) and not _matches(value, _resolve(target, root), root, depth + 1):
        return False

    def inner(part: Any, sub: Any) -> bool:
        return _matches(part, sub, root, depth + 1)

    return all(check(value, schema[name], schema, inner) for name, check in _KEYWORDS.items() if name in schema)


Inner = Callable[[Any, Any], bool]


def _resolve(target: str, root: Any) -> Any:
    """A JSON pointer into this schema (`#/$defs/Name`); anything else matches nothing."""
    if target == "#":
        return root
    if not target.startswith("#/"):
        return False
    node = root
    for part in unquote(target[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        node = node[int(key)] if isinstance(node, list) else node[key]
    return node


def _is(value: Any, kind: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "null": value is None,
        "number": number,
        "integer": number and (isinstance(value, int) or value.is_integer()),
    }.get(kind, False)


def _type(value: Any, wanted: Any, schema: Any, inner: Inner) -> bool:
    kinds = wanted if isinstance(wanted, list) else [wanted]
    return any(_is(value, kind) for kind in kinds) or (value is None and schema.get("nullable") is True)


def _equal(a: Any, b: Any) -> bool:
    """JSON equality: 1 == 1.0, but True is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(v, b[k]) for k, v in a.items())
    return bool(a == b)


def _properties(value: Any, properties: Any, schema: Any, inner: Inner) -> bool:
    if not isinstance(value, dict):
        return True
    return all(inner(value[name], sub) for name, sub in properties.items() if name in value)


def _additional(value: Any, extra: Any, schema: Any, inner: Inner) -> bool:
    if not isinstance(value, dict):
        return True
    patterns = schema.get("patternProperties", {})
    others = [
        v
        for k, v in value.items()
        if k not in schema.get("properties", {}) and not any(re.search(p, k) for p in patterns)
    ]
    return not others if extra is False else all(inner(v, extra) for v in others)


def _pattern_properties(value: Any, patterns: Any, schema: Any, inner: Inner) -> bool:
    if not isinstance(value, dict):
        return True
    return all(inner(v, sub) for p, sub in patterns.items() for k, v in value.items() if re.search(p, k))


def _required(value: Any, names: Any, schema: Any, inner: Inner) -> bool:
    return not isinstance(value, dict) or all(name in value for name in names)


def _items(value: Any, sub: Any, schema: Any, inner: Inner) -> bool:
    if not isinstance(value, list):
        return True
    return all(inner(item, sub) for item in value[len(schema.get("prefixItems", [])) :])


def _prefix(value: Any, subs: Any, schema: Any, inner: Inner) -> bool:
    return not isinstance(value, list) or all(inner(item, sub) for item, sub in zip(value, subs, strict=False))


def _unique(value: Any, wanted: Any, schema: Any, inner: Inner) -> bool:
    if not wanted or not isinstance(value, list):
        return True
    return not any(_equal(a, b) for i, a in enumerate(value) for b in value[:i])


def _bound(kind: str, test: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def check(value: Any, bound: Any, schema: Any, inner: Inner) -> bool:
        return not _is(value, kind) or test(value, bound)

    return check


def _multiple(value: Any, step: Any) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    ratio = value / step
    return math.isclose(ratio, round(ratio), rel_tol=1e-9)


_KEYWORDS: dict[str, Callable[..., bool]] = {
    "type": _type,
    "enum": lambda value, allowed, schema, inner: any(_equal(value, one) for one in allowed),
    "const": lambda value, one, schema, inner: _equal(value, one),
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "required": _required,
    "minProperties": _bound("object", lambda v, n: len(v) >= n),
    "maxProperties": _bound("object", lambda v, n: len(v) <= n),
    "items": _items,
    "prefixItems": _prefix,
    "minItems": _bound("array", lambda v, n: len(v) >= n),
    "maxItems": _bound("array", lambda v, n: len(v) <= n),
    "uniqueItems": _unique,
    "minLength": _bound("string", lambda v, n: len(v) >= n),
    "maxLength": _bound("string", lambda v, n: len(v) <= n),
    "pattern": _bound("string", lambda v, p: re.search(p, v) is not None),
    "minimum": _bound("number", lambda v, n: v >= n),
    "maximum": _bound("number", lambda v, n: v <= n),
    "exclusiveMinimum": _bound("number", lambda v, n: v > n),
    "exclusiveMaximum": _bound("number", lambda v, n: v < n),
    "multipleOf": _bound("number", _multiple),
    "allOf": lambda value, subs, schema, inner: all(inner(value, sub) for sub in subs),
    "anyOf": lambda value, subs, schema, inner: any(inner(value, sub) for sub in subs),
    "oneOf": lambda value, subs, schema, inner: sum(inner(value, sub) for sub in subs) == 1,
    "not": lambda value, sub, schema, inner: not inner(value, sub),
}
