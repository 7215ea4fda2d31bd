"""Whether a value matches a JSON schema: hand-made tables, and the same verdicts as the reference implementation."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from multi_llm_wrapper.schema import matches
from tests.strategies import json_values

CASES: list[tuple[Any, list[Any], list[Any]]] = [
    # schema, what matches, what does not
    ({}, [None, 1, "a", [], {}], []),
    (True, [None, 1, {}], []),
    (False, [], [None, 1, {}]),
    ({"type": "object"}, [{}, {"a": 1}], [[], "a", 1, None, True]),
    ({"type": "array"}, [[], [1]], [{}, "a", None]),
    ({"type": "string"}, ["", "a"], [1, None, ["a"], {}]),
    ({"type": "boolean"}, [True, False], [0, 1, "true", None]),
    ({"type": "null"}, [None], [0, False, "", []]),
    ({"type": "number"}, [1, 1.5, -0.0, 10**400], [True, "1", None]),
    ({"type": "integer"}, [1, 1.0, 10**400, -5], [1.5, True, "1", None]),
    ({"type": ["string", "null"]}, ["a", None], [1, []]),
    ({"type": "string", "nullable": True}, ["a", None], [1]),
    ({"type": "string", "nullable": False}, ["a"], [None]),
    ({"type": "colour"}, [], ["red", None, {}]),
    (
        {"enum": ["a", 1, None, [1, {"b": 2}]]},
        ["a", 1, 1.0, None, [1, {"b": 2}], [1.0, {"b": 2.0}]],
        ["b", True, [1], {}],
    ),
    ({"enum": [True]}, [True], [1, 1.0, "true"]),
    ({"enum": [[1]]}, [[1], [1.0]], [[True], [1, 1], 1]),
    ({"enum": [{"a": 1}]}, [{"a": 1}], [{"a": True}, {"a": 1, "b": 2}, {}]),
    ({"const": 0}, [0, 0.0], [False, "", None]),
    ({"properties": {"a": {"type": "string"}}}, [{}, {"a": "x"}, {"b": 1}, 5, []], [{"a": 1}]),
    ({"required": ["a"]}, [{"a": None}, 5, []], [{}, {"b": 1}]),
    ({"properties": {"a": {}}, "additionalProperties": False}, [{}, {"a": 1}, 5], [{"b": 1}, {"a": 1, "b": 1}]),
    ({"properties": {"a": {}}, "additionalProperties": {"type": "integer"}}, [{"a": "x", "b": 1}], [{"b": "x"}]),
    ({"additionalProperties": True}, [{"a": 1}], []),
    (
        {"patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False},
        [{}, {"x-a": "b"}, 5],
        [{"x-a": 1}, {"y": "b"}],
    ),
    ({"minProperties": 1, "maxProperties": 2}, [{"a": 1}, {"a": 1, "b": 1}, 5], [{}, {"a": 1, "b": 1, "c": 1}]),
    ({"items": {"type": "integer"}}, [[], [1, 2], "ab"], [["a"], [1, None]]),
    ({"items": False}, [[], 5], [[1]]),
    (
        {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
        [[], [1], [1, "a"], 5],
        [["a"], [1, 2], [1, "a", None]],
    ),
    ({"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, [[1, "a", "b"]], [[1, 2]]),
    ({"minItems": 1, "maxItems": 2}, [[1], [1, 2], "abc"], [[], [1, 2, 3]]),
    ({"uniqueItems": True}, [[], [1, True], [1, "1"], 5], [[1, 1.0], [{"a": 1}, {"a": 1}], [[], []]]),
    ({"uniqueItems": False}, [[1, 1]], []),
    ({"minLength": 2, "maxLength": 3}, ["ab", "abc", "\U0001f600\U0001f600", 5], ["a", "abcd", "\U0001f600"]),
    ({"pattern": "b+"}, ["abc", "bb", 5], ["", "ac"]),
    ({"pattern": "^a$"}, ["a"], ["ab", "ba"]),
    ({"minimum": 1, "maximum": 2}, [1, 1.5, 2, "x", True], [0.9, 2.1]),
    ({"exclusiveMinimum": 1, "exclusiveMaximum": 2}, [1.5, None], [1, 2]),
    ({"multipleOf": 3}, [0, 3, -6, 9.0, "x"], [1, 3.5]),
    ({"multipleOf": 0.1}, [0.3, 1, 0.7], [0.35]),
    ({"multipleOf": 10}, [10**20], [10**17 + 1]),
    ({"allOf": [{"type": "integer"}, {"minimum": 2}]}, [2], [1, "a"]),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, [1, None], ["a"]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, [1, 2.5, "a"], [2, 1.5]),
    ({"not": {"type": "string"}}, [1, None], ["a"]),
    ({"$ref": "#/$defs/P", "$defs": {"P": {"type": "string"}}}, ["a"], [1]),
    ({"$ref": "#/$defs/P", "maxLength": 1, "$defs": {"P": {"type": "string"}}}, ["a"], ["ab", 1]),
    ({"$ref": "#/$defs/a~1b~0c", "$defs": {"a/b~c": {"type": "string"}}}, ["a"], [1]),
    ({"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": "string"}}}, ["a"], [1]),
    ({"$ref": "#/allOf/1", "allOf": [{}, {"type": "string"}]}, ["a"], [1]),
    (
        {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
        [{"next": None}, {"next": {"next": {"next": None}}}],
        [{}, {"next": 5}, {"next": {"next": {}}}],
    ),
    ({"description": "x", "format": "email", "x-unknown": 5, "title": 1}, ["not an address", 1], []),
]


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=[str(schema)[:60] for schema, _, _ in CASES])
def test_verdicts(schema: Any, good: list[Any], bad: list[Any]) -> None:
    """Each keyword restricts the values of its type and no others; what is unknown does not restrict."""
    assert good == [value for value in good + bad if matches(value, schema)]


MALFORMED: list[Any] = [
    None, 5, "string", [], {"$ref": "#/$defs/none"}, {"$ref": "other.json"}, {"$ref": "#anchor"}, {"$ref": "#/a/b/c"},
    {"$ref": "#"}, {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"not": {"$ref": "#"}}, {"properties": 5},
    {"properties": {"a": 5}}, {"required": 5}, {"items": 5}, {"items": [{}]}, {"prefixItems": 5}, {"enum": 5},
    {"pattern": "("}, {"pattern": 5}, {"patternProperties": {"(": {}}}, {"patternProperties": 5}, {"minimum": "a"},
    {"multipleOf": 0}, {"multipleOf": "a"}, {"minLength": None}, {"allOf": 5}, {"anyOf": {}}, {"oneOf": 5},
    {"additionalProperties": 5}, {"$ref": "#/enum/x", "enum": [1]}, {"multipleOf": 1e-320},
]  # fmt: skip


@pytest.mark.parametrize("schema", MALFORMED, ids=map(str, MALFORMED))
def test_a_schema_that_is_none_matches_nothing(schema: Any) -> None:
    """A malformed or circular schema never raises and never hangs: values it speaks about do not match."""
    started = time.perf_counter()
    verdicts = [matches(value, schema) for value in ({"a": 1}, [1, 2], "abc", 1.5e300)]

    assert not all(verdicts)
    assert time.perf_counter() - started < 5


def test_deep_values_are_followed_a_fair_way() -> None:
    """Forty levels of a recursive schema are no trouble; far too many are no match rather than an error."""
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}

    def chain(length: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(length):
            value = {"next": value}
        return value

    assert matches(chain(40), schema)
    assert not matches(chain(5000), schema)


class Pet(BaseModel):
    name: str
    kind: str | None = None
    friends: list[Pet] = []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "Rex"}, True),
        ({"name": "Rex", "kind": None, "friends": [{"name": "Tom", "friends": []}]}, True),
        ({"name": 5}, False),
        ({"name": "Rex", "friends": [{"kind": "cat"}]}, False),
    ],
)
def test_schemas_as_pydantic_makes_them(value: Any, expected: bool) -> None:
    """Recursive models, optional fields and references work as in real use."""
    assert expected is matches(value, Pet.model_json_schema())


# --- beside the reference implementation --------------------------------------------------------------------------

small = st.none() | st.booleans() | st.integers(-3, 4) | st.sampled_from([0.5, 1.0, 2.5]) | st.text("ab", max_size=3)
values = st.recursive(
    small,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=5,
)
kinds = st.sampled_from(["object", "array", "string", "boolean", "null", "number", "integer"])
leaves = st.fixed_dictionaries(
    {},
    optional={
        "type": kinds | st.lists(kinds, min_size=1, max_size=3, unique=True),
        "enum": st.lists(values, min_size=1, max_size=3),
        "const": values,
        "required": st.lists(st.sampled_from(["a", "b", "ab"]), max_size=2, unique=True),
        "minProperties": st.integers(0, 2),
        "maxProperties": st.integers(0, 2),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "pattern": st.sampled_from(["a", "^a", "b$", "^ab?$"]),
        "minimum": st.integers(-2, 2),
        "maximum": st.sampled_from([-1, 0.5, 2]),
        "exclusiveMinimum": st.integers(-2, 2),
        "exclusiveMaximum": st.integers(-2, 2),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
    },
)


def _with_parts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=3)
    parts = st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": lists,
            "allOf": lists,
            "anyOf": lists,
            "oneOf": lists,
            "not": inner,
        },
    )
    return st.builds(lambda a, b: {**a, **b}, leaves, parts)


schemas = st.recursive(leaves | st.booleans(), _with_parts, max_leaves=6)


@given(schemas, values)
@example({"enum": [[True]]}, [1])
@example({"uniqueItems": True}, [0, False])
def test_verdicts_equal_those_of_jsonschema(schema: Any, value: Any) -> None:
    """For every keyword we know, the reference implementation of the standard says the same."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

    assert jsonschema.Draft202012Validator(schema).is_valid(value) is matches(value, schema)


@given(
    st.dictionaries(st.sampled_from(["type", "items", "properties", "anyOf", "$ref", "pattern"]), json_values),
    json_values,
)
def test_any_schema_gives_a_verdict(schema: Any, value: Any) -> None:
    """Whatever stands in a schema, the answer is yes or no."""
    assert matches(value, schema) in (True, False)
