"""`response.parsed`: what `response_format` asked for, read out of the answer, and never an error."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from multi_llm_wrapper import LLMWrapper, OpenAIConfig
from multi_llm_wrapper.parsed import parse

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
WRAPPED = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


class Model(BaseModel):
    n: int


class Colour(enum.Enum):
    RED = "red"


class Strange(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def fail(cls, value: int) -> int:
        raise KeyError("a mistake in the validator")


@dataclass
class Plain:
    n: int


@pytest.mark.parametrize(
    ("wanted", "content", "expected"),
    [
        (SCHEMA, '{"n": 5}', {"n": 5}),
        (WRAPPED, ' {"n": 5, "more": null}\n', {"n": 5, "more": None}),
        ({"type": "json_object"}, "{}", {}),
        ({}, "[1, 2]", [1, 2]),
        ({"type": "null"}, "null", None),
        (Model, '{"n": 5}', Model(n=5)),
        (Plain, '{"n": 5}', Plain(5)),
        # not matching
        (SCHEMA, '{"n": "5"}', None),
        (SCHEMA, "{}", None),
        (SCHEMA, "[]", None),
        ({"type": "json_object"}, "[]", None),
        (Model, '{"n": "five"}', None),
        (Model, "5", None),
        (Plain, "{}", None),
        (Plain, "[1]", None),
        (Colour, '{"value": "blue"}', None),
        (Strange, '{"n": 5}', None),
        # no JSON
        (SCHEMA, "", None),
        (SCHEMA, 'Here it is: {"n": 5}', None),
        (SCHEMA, '{"n": 5', None),
        (SCHEMA, '{"n": 5} {"n": 6}', None),
        (SCHEMA, '{"n": "\ud800"}', None),
        ({}, "[" * 100_000, None),
        # plain text was asked for
        ({"type": "text"}, '{"n": 5}', None),
    ],
)
def test_parse(wanted: Any, content: str, expected: Any) -> None:
    """The JSON value that matches, or an instance for a class; None for anything else."""
    found = parse(wanted, content)

    assert expected == found
    assert type(expected) is type(found)


@given(
    st.text() | st.sampled_from(["{}", "[]", "1", "null", '"a"']),
    st.sampled_from([SCHEMA, {}, Model, Plain, {"$ref": 5}]),
)
def test_parse_never_raises(content: str, wanted: Any) -> None:
    """Whatever the model wrote."""
    found = parse(wanted, content)

    assert found is None or not isinstance(wanted, type) or isinstance(found, wanted)


def answer(content: str) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wanted", "content", "expected"),
    [
        (Model, '{"n": 5}', Model(n=5)),
        (SCHEMA, '{"n": 5}', {"n": 5}),
        (SCHEMA, "I would rather not.", None),
        (None, '{"n": 5}', None),
    ],
)
async def test_parsed_is_an_attribute(mock_completion: Any, wanted: Any, content: str, expected: Any) -> None:
    """A matching answer is parsed, also when it comes from the cache; one that does not match stays a success."""
    mock_completion.return_value = answer(content)
    async with LLMWrapper(OpenAIConfig("k")) as llm:
        first = await llm.query("hi", "gpt-4o", response_format=wanted)
        second = await llm.query("hi", "gpt-4o", response_format=wanted)

    assert (expected, expected) == (first.parsed, second.parsed)
    assert ("success", content) == (first.status, first.content)
    assert "parsed" not in first
    assert second.metadata["cached"]
