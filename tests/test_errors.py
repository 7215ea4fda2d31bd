"""The classes of failure are a closed set, the one of the contract."""

from __future__ import annotations

import builtins
import pickle
import re
from typing import Any

import pytest

from multi_llm_wrapper import errors
from multi_llm_wrapper.errors import CLASSES, GeneralError, LLMError, RateLimitError

CONTRACT = {
    "validation_error", "auth_error", "permission_error", "quota_exceeded", "rate_limit", "overloaded", "timeout",
    "connection_error", "server_error", "request_too_large", "context_length_exceeded", "content_filter",
    "model_not_found", "unsupported_feature", "malformed_response", "empty_response", "incomplete_stream",
    "cancelled", "circuit_open", "limit_exceeded", "general_error",
}  # fmt: skip
RETRYABLE = {
    "rate_limit", "overloaded", "server_error", "timeout", "connection_error", "malformed_response", "empty_response",
    "incomplete_stream",
}  # fmt: skip
FACTS: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-x",
    "status_code": 429,
    "code": "rate_limit_exceeded",
    "request_id": "req_1",
    "retry_after": 1.5,
    "rejected_by": "provider",
    "response": {"status": "error"},
}

every_class = pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)


def test_the_set_is_the_contract() -> None:
    """There is one class for each error type of the contract, and no other."""
    assert set(CLASSES) == CONTRACT


def test_no_class_is_outside_the_set() -> None:
    """Each exception class of the module is in the set, under its own name for the failure."""
    defined = {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, LLMError)}

    assert defined - {LLMError} == set(CLASSES.values())
    assert {name: cls.error_type for name, cls in CLASSES.items()} == {name: name for name in CLASSES}


def test_retryable_is_the_contract() -> None:
    """What may go better next time is what the contract says."""
    assert {name for name, cls in CLASSES.items() if cls.retryable} == RETRYABLE


@every_class
def test_documented(cls: type[LLMError]) -> None:
    """Each class says in its own words what it means, and stands in the tree of the module, marked when retryable."""
    assert cls.__doc__
    assert cls.__doc__ != LLMError.__doc__
    marked = re.search(rf"\b{cls.__name__}\b(\*?)", errors.__doc__ or "")

    assert marked is not None
    assert cls.retryable == (marked[1] == "*")


@every_class
def test_facts_are_fields(cls: type[LLMError]) -> None:
    """An error carries the facts of the error response as fields, and its text is the message."""
    error = cls("What happened; what to do.", **FACTS)

    assert str(error) == error.message == "What happened; what to do."
    assert {name: getattr(error, name) for name in FACTS} == FACTS


@every_class
def test_facts_default_to_none(cls: type[LLMError]) -> None:
    """What is not known is None."""
    error = cls("x")

    assert [getattr(error, name) for name in FACTS] == [None] * len(FACTS)


@every_class
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_picklable(cls: type[LLMError], protocol: int) -> None:
    """An error crosses the border of a process whole: class, message and facts."""
    error = cls("What happened.", **FACTS)

    copy = pickle.loads(pickle.dumps(error, protocol))

    assert type(copy) is cls
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
    assert copy.args == error.args


def test_one_except_catches_all() -> None:
    """All are `LLMError`; none of those that share a name with a builtin is that builtin."""
    for cls in CLASSES.values():
        assert issubclass(cls, LLMError)
        assert not issubclass(cls, builtins.TimeoutError | builtins.ConnectionError)


def test_facts_are_by_name_only() -> None:
    """A fact is never mistaken for another one."""
    with pytest.raises(TypeError):
        RateLimitError("x", "openai")  # type: ignore[call-arg]  # wrong on purpose


def test_the_base_is_general() -> None:
    """An error of no class counts as a general one, and is not retried."""
    assert (LLMError.error_type, LLMError.retryable) == (GeneralError.error_type, GeneralError.retryable)
    assert not LLMError("x").retryable
