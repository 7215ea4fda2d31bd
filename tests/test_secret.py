"""A Secret and everything that holds one: no way of printing shows the key."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import (
    AnthropicConfig,
    Deployment,
    LLMWrapper,
    OpenAICompatibleConfig,
    OpenAIConfig,
    WrapperConfig,
)
from multi_llm_wrapper.routing import Router, Target
from multi_llm_wrapper.secret import Secret

CANARY = "sk-canary-0123456789"


def everything() -> list[Any]:
    """One of each thing that holds a key."""
    config = WrapperConfig(
        openai=OpenAIConfig(
            api_key=CANARY, headers={"x-api-key": CANARY}, proxy=f"http://user:{CANARY}@proxy.example.com"
        ),
        anthropic=AnthropicConfig(CANARY),
        providers={"local": OpenAICompatibleConfig(CANARY, "http://localhost:8000/v1")},
        deployments={"fast": [Deployment("openai", "gpt-4o", CANARY)]},
    )
    return [Secret(CANARY), OpenAIConfig(CANARY), config, config.copy(), Router(config, {}).target("gpt-4o", {})]


PRINTERS: dict[str, Callable[[Any], str]] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "format": format,
    "f-string": lambda value: f"{value} {value!r} {value!s} {value!a}",
    "percent": lambda value: "%s %r %a" % (value, value, value),  # noqa: UP031  # this way of formatting too
    "str.format": lambda value: "{0} {0!r} {0!s}".format(value),  # noqa: UP032  # and this one
    "in a list": lambda value: f"{[value]} {(value,)} { ({'key': value}) }",
    "pprint": pprint.pformat,
    "json with default": lambda value: json.dumps([value], default=repr),
}


@pytest.mark.parametrize("how", PRINTERS)
@pytest.mark.parametrize("which", range(len(everything())))
def test_nothing_that_holds_a_key_prints_it(how: str, which: int) -> None:
    """Secrets, configurations and resolved targets print without the key in every usual way."""
    value = everything()[which]

    assert CANARY not in PRINTERS[how](value)


@pytest.mark.parametrize("spec", ["", "s", ">30", "x<5", "r"])
def test_formatting_ignores_the_spec(spec: str) -> None:
    """However it is to be formatted, a secret is three stars."""
    assert "***" == format(Secret(CANARY), spec)


def test_a_configuration_prints_its_key_as_stars() -> None:
    """One sees that there is a key, and not which."""
    assert "api_key=***" in repr(OpenAIConfig(api_key=CANARY))
    assert "api_key=None" in repr(OpenAIConfig())


def test_asdict_keeps_the_secret_wrapped() -> None:
    """A configuration as a dict still prints without the key."""
    fields = dataclasses.asdict(OpenAIConfig(api_key=CANARY))

    assert isinstance(fields["api_key"], Secret)
    assert CANARY not in str(fields)


def test_a_log_line_has_stars() -> None:
    """Logged as an argument or in a message, a key is not written."""
    written = io.StringIO()
    log = logging.Logger("test")
    log.addHandler(logging.StreamHandler(written))

    log.warning("key %s in %r", Secret(CANARY), OpenAIConfig(CANARY))

    assert "***" in written.getvalue()
    assert CANARY not in written.getvalue()


def test_a_traceback_with_locals_has_stars() -> None:
    """Also a traceback that shows local variables, as error trackers do, holds no key."""

    def use(config: OpenAIConfig, target: Target) -> None:
        raise RuntimeError("failed")

    config = OpenAIConfig("sk-canary-" + "0123456789")  # in two pieces, since a traceback shows this line
    try:
        use(config, Router(WrapperConfig(openai=config), {}).target("gpt-4o", {}))
    except RuntimeError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "***" in text
    assert CANARY not in text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [Secret(CANARY), OpenAIConfig(CANARY)], ids=["secret", "config"])
def test_a_key_is_not_pickled(value: Any, protocol: int) -> None:
    """Pickling is refused rather than writing the key out; the message says what to do instead."""
    with pytest.raises(TypeError, match="environment variable") as caught:
        pickle.dumps(value, protocol)

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("encode", [json.dumps, msgspec.json.encode, msgspec.to_builtins])
def test_a_key_is_not_serialised(encode: Callable[[Any], Any]) -> None:
    """JSON encoders refuse a secret, and do not name it."""
    with pytest.raises(TypeError) as caught:
        encode({"key": Secret(CANARY)})

    assert CANARY not in str(caught.value)


def test_a_secret_has_no_attributes_to_list() -> None:
    """`vars()` has nothing to show."""
    with pytest.raises(TypeError):
        vars(Secret(CANARY))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_is_the_same_secret(duplicate: Callable[[Secret], Secret]) -> None:
    """A secret is immutable, so its copies are itself."""
    secret = Secret(CANARY)

    assert secret is duplicate(secret)


any_text = st.text(alphabet=st.characters(codec=None), max_size=10)


@given(any_text, any_text)
def test_a_secret_equals_what_it_holds(a: str, b: str) -> None:
    """Comparison and hash are those of the text, against texts and secrets, whatever characters are in it."""
    assert (a == b) is (Secret(a) == b) is (Secret(a) == Secret(b))
    assert a == Secret(a).reveal()
    assert hash(a) == hash(Secret(a))
    assert bool(a) is bool(Secret(a))


@pytest.mark.parametrize("other", [None, 5, b"sk", ["sk"]])
def test_a_secret_is_unlike_other_things(other: Any) -> None:
    """Compared with something that is no text it is just not equal."""
    assert Secret("sk") != other


def test_a_target_says_where_it_is() -> None:
    """A resolved target names provider, model and URL, without its headers."""
    target = Router(WrapperConfig(openai=OpenAIConfig(CANARY)), {}).target("gpt-4o", {})

    assert isinstance(target, Target)
    assert f"Bearer {CANARY}" == target.headers["authorization"]
    assert "Target(openai/gpt-4o at https://api.openai.com/v1)" == repr(target)


@pytest.mark.asyncio
@pytest.mark.parametrize("bad", [f"{CANARY}\n", f"{CANARY} x", f"{CANARY}é"])
async def test_a_bad_key_is_not_in_the_response(bad: str) -> None:
    """A key that cannot be sent is an error response that does not repeat it."""
    async with LLMWrapper(WrapperConfig()) as llm:
        response = await llm.query("hi", "gpt-4o", api_key=bad)

    assert "error" == response.status
    assert "validation_error" == response.error_type
    assert CANARY not in json.dumps(response)
