"""Values for JSON schemas: whatever is made is valid, and what cannot be made is said so.

Validity is judged by the `jsonschema` package where it is installed, and by our own checker, which has a table of its
own below.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multi_llm_wrapper.simulator.check import TooDeepError, matches
from multi_llm_wrapper.simulator.dice import Dice
from multi_llm_wrapper.simulator.merge import UnsatisfiableError, merge
from multi_llm_wrapper.simulator.pattern import UnsupportedPatternError, compile_pattern
from multi_llm_wrapper.simulator.schema import generate

SEEDS = range(12)
NODE: dict[str, Any] = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
    "required": ["value", "children"],
    "additionalProperties": False,
}
LIST: dict[str, Any] = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/definitions/L~1ist"}, {"type": "null"}]}},
    "required": ["next"],
}


def valid(value: Any, schema: Any) -> bool:
    """By the reference implementation where it is there."""
    if not matches(value, schema, schema):
        return False
    if find_spec("jsonschema") is None:
        return True
    return bool(import_module("jsonschema").Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "null"},
        {"type": "boolean"},
        {"type": ["integer", "null"]},
        {"type": "integer", "minimum": 3, "maximum": 3},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "integer", "minimum": -10, "maximum": -5, "multipleOf": 4},
        {"type": "integer", "minimum": 0.5, "maximum": 1.5},
        {"type": "integer", "multipleOf": 0.5, "minimum": 7},
        {"type": "integer", "maximum": -1000},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        {"type": "number", "minimum": 0.1, "maximum": 0.1},
        {"type": "number", "multipleOf": 0.1, "minimum": 0.25},
        {"type": "number", "multipleOf": 3, "maximum": -1},
        {"type": "number", "minimum": 1e12},
        {"type": "string", "minLength": 200, "maxLength": 201},
        {"type": "string", "maxLength": 0},
        {"type": "string", "pattern": "^[A-Z]{2}-\\d{3,5}$"},
        {"type": "string", "pattern": "^a*$", "minLength": 5, "maxLength": 5},
        {"type": "string", "pattern": "[0-9]", "minLength": 9},
        {"pattern": "^(foo|bar)$"},
        *(
            {"type": "string", "format": name}
            for name in ("date", "date-time", "email", "uri", "uuid", "ipv4", "no-such")
        ),
        {"enum": ["a", 1, None, {"b": [True]}]},
        {"type": "string", "enum": ["a", 1]},
        {"const": {"deep": [1, 2]}},
        {"type": "array"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "maxItems": 0},
        {"type": "array", "items": False},
        {"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}], "items": False, "minItems": 2},
        {"type": "array", "contains": {"const": 7}, "minContains": 2},
        {"minItems": 2},
        {"type": "object"},
        {"type": "object", "properties": {"a": {}, "b": {"type": "integer"}}, "required": ["b", "c"]},
        {"type": "object", "minProperties": 4, "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 1, "required": ["c"]},
        {"type": "object", "patternProperties": {"^x_": {"type": "integer"}}, "required": ["x_a"]},
        {
            "type": "object",
            "patternProperties": {"^x_[a-z]+$": {"type": "integer"}},
            "additionalProperties": False,
            "minProperties": 1,
        },
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"], "dependentRequired": {"a": ["b"]}},
        {"type": "object", "propertyNames": {"pattern": "^k[0-9]+$"}, "minProperties": 2},
        {"type": "object", "properties": {"impossible": False, "possible": {}}},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"anyOf": [False, {"type": "integer", "minimum": 2, "maximum": 1}, {"const": 5}]},
        {"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}]},
        {"allOf": [{"type": "integer", "minimum": 5}, {"maximum": 6}, {"multipleOf": 2}]},
        {"allOf": [{"type": ["string", "integer"]}, {"type": ["number", "null"]}]},
        {"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4]}]},
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"a": {"minimum": 5}, "b": {"type": "string"}}, "required": ["b"]},
            ]
        },
        {"allOf": [{"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": 2}, {"const": 3}]}]},
        {"if": {"type": "string"}, "then": {"minLength": 30}},
        {"type": "integer", "if": {"minimum": 50}, "then": {"multipleOf": 2}, "else": {"multipleOf": 3}},
        {"type": "integer", "not": {"const": 3}},
        {"$defs": {"a": {"type": "integer"}}, "$ref": "#/$defs/a", "minimum": 1000},
        {"$defs": {"Node": NODE}, "$ref": "#/$defs/Node"},
        {"definitions": {"L/ist": LIST}, **LIST},
        {"type": "object", "properties": {"self": {"$ref": "#"}}},
    ],
    ids=lambda schema: re.sub(r"[^\w]+", "-", json.dumps(schema))[:60],
)
def test_what_is_made_is_valid(schema: Any) -> None:
    """For every keyword, with several seeds; the same seed makes the same."""
    for seed in SEEDS:
        value = generate(schema, Dice(seed))

        assert valid(value, schema), value
        assert value == generate(schema, Dice(seed))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (False, "allows nothing"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "no multiple"),
        ({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6}, "no multiple"),
        ({"type": "number", "multipleOf": 0}, "multipleOf"),
        ({"type": "thing"}, "no type"),
        ({"type": []}, "no type"),
        ({"enum": []}, "enum"),
        ({"type": "string", "enum": [1]}, "enum"),
        ({"anyOf": []}, "anyOf is empty"),
        ({"allOf": [{"const": 1}, {"const": 2}]}, "two constants"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "two types"),
        ({"$ref": "#"}, "without end"),
        ({"allOf": [{"$ref": "#"}]}, "without end"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "without end"),
        ({"$ref": "https://example.com/schema"}, "leads out"),
        ({"$ref": "#/nowhere"}, "points to nothing"),
        ({"$ref": "#anchor"}, "anchor"),
        ({"$ref": 5}, "leads out"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-ahead"),
        ({"type": "string", "pattern": "^a{3}$", "maxLength": 2}, "allowed length"),
        ({"type": "string", "pattern": "^(((a{900}){900}){900})$"}, "too long"),
        ({"type": "string", "minLength": 10**9}, "too long"),
        ({"type": "array", "minItems": 10**9}, "too long"),
        ({"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}, "different items"),
        ({"type": "array", "items": False, "minItems": 1}, "allows nothing"),
        ({"type": "object", "additionalProperties": False, "minProperties": 1}, "allows nothing"),
        ({"type": "object", "additionalProperties": False, "required": ["a"]}, "allows nothing"),
        ({"not": {}}, "nothing that was tried"),
        ({"type": "integer", "minimum": 10**400}, "not supported"),
        ({"type": "array", "minItems": 9, "items": {"type": "array", "minItems": 9, "items": {
            "type": "array", "minItems": 9, "items": {"type": "array", "minItems": 9, "items": {}}}}}, "too much"),
    ],
    ids=lambda value: re.sub(r"[^\w]+", "-", json.dumps(value))[:40],
)  # fmt: skip
def test_what_cannot_be_made_is_said(schema: Any, reason: str) -> None:
    """With the reason, and soon."""
    start = time.process_time()
    with pytest.raises(UnsatisfiableError, match=reason):
        generate(schema, Dice(0))
    assert time.process_time() - start < 5


def test_recursion_ends_and_yet_goes_down() -> None:
    """A tree has children, but not without end."""
    schema = {"$defs": {"Node": NODE}, "$ref": "#/$defs/Node"}
    sizes = [len(json.dumps(generate(schema, Dice(seed)))) for seed in range(30)]

    assert max(sizes) > 60
    assert max(sizes) < 5000


def test_values_are_sensible_where_the_name_tells() -> None:
    """A city is a city; optional properties are there most of the time, and in the order of the schema."""
    schema = {"type": "object", "properties": {"unit": {"type": "string"}, "home_city": {"type": "string"}}}
    values = [generate(schema, Dice(seed)) for seed in range(40)]

    assert any(value.get("home_city") == "Paris" for value in values)
    assert 50 < sum(len(value) for value in values) < 75
    assert {"unit", "home_city"} == {next(iter(value)) for value in values if value}
    assert all(list(value) == ["unit", "home_city"] for value in values if len(value) == 2)


def test_types_may_be_written_in_capitals() -> None:
    """As Gemini's schemas have them, with `nullable`."""
    schema = {"type": "OBJECT", "properties": {"a": {"type": "INTEGER", "nullable": True}}, "required": ["a"]}
    value = generate(schema, Dice(0))

    assert isinstance(value["a"], int)
    assert matches({"a": None}, schema, schema)
    assert not matches({"a": "x"}, schema, schema)


# --- generated schemas -----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["name", "city", "x", "count", "é", "a b", "email"])


@st.composite
def integers(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.integers(-50, 50))
    schema: dict[str, Any] = {"type": "integer"}
    step = draw(st.sampled_from([None, 1, 2, 7]))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(st.integers(16, 50))
    return schema | ({"multipleOf": step} if step else {})


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.floats(-1e6, 1e6))
    schema: dict[str, Any] = {"type": "number"}
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(st.floats(0.01, 1e6))
    return schema


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["plain", "pattern", "format"]))
    if kind == "pattern":
        return {
            "type": "string",
            "pattern": draw(st.sampled_from(["^[a-z]+$", r"\d{3}", "^(a|b)?c{2,4}$", r"^\w+@\w+\.\w{2,3}$"])),
        }
    if kind == "format":
        return {"type": "string", "format": draw(st.sampled_from(["date", "date-time", "email", "uri", "uuid"]))}
    least = draw(st.integers(0, 30))
    return {"type": "string", "minLength": least, "maxLength": least + draw(st.integers(0, 30))}


def objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        properties = draw(st.dictionaries(NAMES, children, max_size=4))
        required = [name for name in properties if draw(st.booleans())]
        extra = draw(st.sampled_from([None, False, True]))
        schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
        return schema | ({} if extra is None else {"additionalProperties": extra})

    return build()


def arrays(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda items, least, more: {"type": "array", "items": items, "minItems": least, "maxItems": least + more},
        children,
        st.integers(0, 3),
        st.integers(0, 3),
    )


def combined(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.builds(lambda branches: {"anyOf": branches}, st.lists(children, min_size=1, max_size=3)),
        st.builds(lambda part: {"allOf": [part, {}]}, children),
        st.builds(lambda part: {"allOf": [part, part]}, children),
        st.builds(lambda part: {"oneOf": [part, {"type": "null", "const": "never"}]}, children),
    )


SCHEMAS = st.recursive(
    st.one_of(
        integers(),
        numbers(),
        strings(),
        st.just({"type": "boolean"}),
        st.just({"type": ["string", "null"]}),
        st.builds(
            lambda values: {"enum": values}, st.lists(st.integers() | st.text() | st.none(), min_size=1, max_size=4)
        ),
        st.builds(lambda value: {"const": value}, st.integers() | st.text() | st.booleans()),
    ),
    lambda children: st.one_of(objects(children), arrays(children), combined(children)),
    max_leaves=8,
)


@given(SCHEMAS, st.integers(0, 1000))
@settings(max_examples=300)
def test_generated_schemas_are_satisfied(schema: Any, seed: int) -> None:
    """Any schema that can be satisfied is."""
    value = generate(schema, Dice(seed))

    assert valid(value, schema)
    assert valid(json.loads(json.dumps(value)), schema)


KEYWORDS = st.sampled_from(
    [
        *("type", "properties", "required", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs"),
        *("minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "minItems", "maxItems"),
        *("uniqueItems", "additionalProperties", "patternProperties", "minProperties", "not", "if", "then", "else"),
        *("nullable", "prefixItems", "contains", "dependentRequired", "propertyNames", "exclusiveMinimum"),
        "minContains",
    ]
)
NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["string", "object", "array", "integer", "#", "#/$defs/a", "^a+$", "(", "date"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(KEYWORDS | st.just("a"), children, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(st.dictionaries(KEYWORDS, NONSENSE, max_size=5), st.integers(0, 10))
@settings(max_examples=500)
def test_no_schema_breaks_it(schema: Any, seed: int) -> None:
    """Whatever stands in a schema, a value is made that our checker accepts, or it is said that there is none."""
    try:
        value = generate(schema, Dice(seed))
    except UnsatisfiableError:
        return

    assert matches(value, schema, schema)


def test_schemas_nested_without_measure_are_refused() -> None:
    """Depth alone cannot break it."""
    deep: Any = {"type": "integer"}
    wide: Any = {"type": "integer"}
    for _ in range(3000):
        deep = {"allOf": [deep]}
    for _ in range(40):
        wide = {"anyOf": [{"allOf": [wide, {"type": "string"}]}, {"allOf": [wide, {"type": "null"}]}]}
    for schema in (deep, wide, {"not": deep}, {"items": deep, "minItems": 1}):
        with pytest.raises(UnsatisfiableError):
            generate(schema, Dice(0))


# --- the parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{2}-\d{3,5}$",
        r"^(?:foo|bar)+baz?$",
        r"^\+?[1-9]\d{1,14}$",
        r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^#[0-9a-fA-F]{6}$",
        r"^\w+(-\w+)*$",
        "",
        "^$",
        r"[\w.-]+",
        r"^a{2,}?\\$",
        r"\bfoo\b",
        r"^(?P<year>\d{4})/(?<month>\d\d)$",
        r"^[\x41-\u0043\t\]\-]+[a-]$",
        r"^.{3}[^a-z]\D\W\S$",
        r"a{b}|c{,3}",
        r"[\b]x",
    ],
)
def test_strings_for_patterns_match(pattern: str) -> None:
    """With any number of repetitions. (Python does not read every expression that ECMAScript does.)"""
    make = compile_pattern(pattern)
    readable = pattern.replace("(?<month>", "(?P<month>")
    for seed in SEEDS:
        for extra in range(4):
            assert re.search(readable, make(Dice(seed), extra)), (pattern, make(Dice(seed), extra))


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?=x)x", "(?!x)", "(?<=a)b", r"\p{L}", r"(a)\1", r"\uzzzz"),
        *("[", "[]", "[^]", "[b-a]", "[a-\\d]", "[^\\x00-\\x7f]"),
        *("(", ")", "a)", "(a|b", "*", "+a", "\\", "a{5,2}", "a{99999}", "(" * 80 + ")" * 80),
    ],
)
def test_patterns_that_are_not_covered_are_said(pattern: str) -> None:
    """Never a guess, never another exception."""
    with pytest.raises(UnsupportedPatternError):
        compile_pattern(pattern)


@given(st.text(alphabet=r"ab01^$.*+?()[]{},|\dwsnux-:<>=!P", max_size=15), st.integers(0, 3))
@settings(max_examples=500)
def test_any_pattern_is_covered_or_said(pattern: str, extra: int) -> None:
    """Reading a pattern gives a string or `UnsupportedPatternError`."""
    with contextlib.suppress(UnsupportedPatternError):
        assert isinstance(compile_pattern(pattern)(Dice(0), extra), str)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (True, [1, None], []),
        (False, [], [1, None]),
        ({"type": "integer"}, [1, 2.0, -5], [1.5, True, "1", None]),
        ({"type": "number"}, [1, 1.5], [False, "1"]),
        ({"type": ["boolean", "null"]}, [True, None], [0, ""]),
        ({"const": 1}, [1, 1.0], [True, 2]),
        ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}, {"a": [1], "b": 2}]),
        ({"enum": [[], False]}, [[], False], [0, {}]),
        ({"minimum": 1, "exclusiveMaximum": 2}, [1, 1.5, "x"], [0, 2]),
        ({"minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ({"multipleOf": 0.1}, [0.5, 1], [0.75]),
        ({"multipleOf": 3}, [9, 9.0], [10, 9.5]),
        ({"minLength": 2, "maxLength": 3}, ["ab", "é☕x", 5], ["a", "abcd"]),
        ({"pattern": "a.c"}, ["xabcx"], ["ac"]),
        ({"pattern": "("}, [5], ["("]),
        ({"items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3], ["a"]]),
        ({"prefixItems": [{"const": 1}], "items": {"const": 2}}, [[], [1], [1, 2, 2]], [[2], [1, 1]]),
        ({"items": [{"const": 1}], "additionalItems": False}, [[1]], [[1, 2]]),
        ({"uniqueItems": True}, [[1, True, "1"]], [[1, 1.0], [{"a": 1}, {"a": 1}]]),
        ({"contains": {"const": 1}}, [[2, 1]], [[], [2]]),
        ({"contains": {"const": 1}, "minContains": 2, "maxContains": 3}, [[1, 1]], [[1], [1, 1, 1, 1]]),
        ({"required": ["a"], "maxProperties": 2}, [{"a": 1}, "x"], [{}, {"a": 1, "b": 1, "c": 1}]),
        ({"minProperties": 1}, [{"a": 1}], [{}]),
        ({"properties": {"a": {"const": 1}}, "additionalProperties": False}, [{"a": 1}, {}], [{"a": "x"}, {"b": 1}]),
        ({"patternProperties": {"^x": {"type": "integer"}}}, [{"x1": 1, "y": "s"}], [{"x1": "s"}]),
        ({"propertyNames": {"maxLength": 1}}, [{"a": 1}], [{"ab": 1}]),
        ({"dependentRequired": {"a": ["b"]}}, [{"b": 1}, {"a": 1, "b": 1}], [{"a": 1}]),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, [{"b": 1}, {"a": 1, "b": 1}], [{"a": 1}]),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [0, 3]),
        ({"anyOf": [{"const": 1}, {"const": 2}]}, [1, 2], [3]),
        ({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, [0, 6], [3]),
        ({"not": {"type": "string"}}, [1], ["x"]),
        ({"if": {"minimum": 5}, "then": {"multipleOf": 5}, "else": {"const": 1}}, [10, 1], [6, 2]),
        ({"if": {"minimum": 5}}, [1, 6], []),
        ({"$ref": "#/$defs/a%20b~1c", "$defs": {"a b/c": {"const": 1}}}, [1], [2]),
        ({"$ref": "#/x/1", "x": [True, {"const": 1}]}, [1], [2]),
        ({"type": "string", "nullable": True}, ["a", None], [1]),
    ],
    ids=lambda value: re.sub(r"[^\w]+", "-", json.dumps(value))[:40],
)  # fmt: skip
def test_the_checker_knows_its_vocabulary(schema: Any, good: list[Any], bad: list[Any]) -> None:
    """Keyword by keyword: what satisfies it and what does not."""
    assert [True] * len(good) == [matches(value, schema, schema) for value in good]
    assert [False] * len(bad) == [matches(value, schema, schema) for value in bad]


def test_the_checker_does_not_go_round_in_circles() -> None:
    """A schema that is itself has no answer."""
    with pytest.raises(TooDeepError):
        matches(1, {"$ref": "#"}, {"$ref": "#"})


@given(SCHEMAS, SCHEMAS, st.integers(0, 100))
def test_a_merged_schema_allows_no_more_than_either(first: Any, second: Any, seed: int) -> None:
    """A value for both satisfies both; plain contradictions are found."""
    try:
        value = generate({"allOf": [first, second]}, Dice(seed))
    except UnsatisfiableError:
        return

    assert valid(value, first)
    assert valid(value, second)


def test_merging_keeps_the_stricter_side() -> None:
    """Bounds, lists and names, one by one."""
    assert merge({"minimum": 1, "maximum": 8}, {"minimum": 2, "maximum": 9}) == {"minimum": 2, "maximum": 8}
    assert merge({"required": ["a"]}, {"required": ["b", "a"]}) == {"required": ["a", "b"]}
    assert merge({"multipleOf": 2}, {"multipleOf": 3}) == {"multipleOf": 6}
    assert merge({"multipleOf": 0.5}, {"multipleOf": 0.75}) == {"multipleOf": 1.5}
    assert merge({"type": "number"}, {"type": "integer"}) == {"type": ["integer"]}
    assert merge({"title": "x"}, True) == {"title": "x"}
