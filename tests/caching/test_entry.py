"""What is kept of an answer: the whole of it, bound to its key, and never believed when it is not as it was written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multi_llm_wrapper.caching import Entry, entry
from multi_llm_wrapper.caching.entry import SKEW, CorruptError
from multi_llm_wrapper.types import NativeMessage, Reply, ToolCall, Usage
from tests.strategies import replies

REPLY = Reply(
    content="Grüße 🌍",
    reasoning="hm",
    tool_calls=[ToolCall("c1", "f", '{"a": 1}')],
    finish_reason="stop",
    provider_finish_reason="end_turn",
    usage=Usage(1, 2, 3),
    raw_usage={"in": 1, "nested": {"x": [None, 1.5]}},
    response_id="id",
    response_model="model",
    native=NativeMessage("gemini", {"parts": [{"thoughtSignature": "abc"}]}),
    extras={"logprobs": {"content": []}},
)
ENTRY = Entry(1000.0, 60.0, "openai", "gpt-4o", REPLY, "req_1", b"\x00raw")
KEY = "0123456789abcdef" * 2 + "01234567"


def written(one: Entry = ENTRY) -> bytes:
    body = entry.encode(one)
    assert body is not None
    return body


def test_an_entry_comes_back_as_it_was() -> None:
    """With what no canonical field holds, through the seal and without."""
    sealed = entry.seal(KEY, written())

    assert ENTRY == entry.decode(entry.unseal(KEY, sealed))
    assert b"\x02" == sealed[:1]


@given(replies())
def test_every_reply_comes_back_as_it_was(reply: Reply) -> None:
    """Whatever a provider answers, what is read equals what was written."""
    one = Entry(0.0, 1.0, None, None, reply)
    assert one == entry.decode(written(one))


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, object(), "\ud800"])
def test_what_cannot_be_written_is_not_kept(value: Any) -> None:
    """Numbers beyond 64 bits among the provider's own fields, lone surrogates, and what is no data at all."""
    assert None is entry.encode(Entry(0.0, 1.0, None, None, Reply(extras={"x": value})))


def test_nothing_is_read_under_another_key() -> None:
    """A client that mixes up answers, or a renamed key, gives nobody another's answer."""
    with pytest.raises(CorruptError):
        entry.unseal(KEY[::-1], entry.seal(KEY, written()))


def test_no_byte_may_be_another_one() -> None:
    """Rot, wherever it is, and bytes that are missing or too many."""
    sealed = entry.seal(KEY, written())
    for place in range(len(sealed)):
        damaged = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        for value in (damaged, sealed[:place]):
            with pytest.raises(CorruptError):
                entry.unseal(KEY, value)
    with pytest.raises(CorruptError):
        entry.unseal(KEY, sealed + b"\0")


@given(st.binary(max_size=200))
@example(b"\x93\x01\x02\xa1\xff")  # a text that is none
def test_any_other_bytes_are_no_entry(data: bytes) -> None:
    """Whatever they are, nothing but `CorruptError` comes of them."""
    with pytest.raises(CorruptError):
        entry.unseal(KEY, data)
    with pytest.raises(CorruptError):
        entry.decode(data)


@pytest.mark.parametrize("change", [{"finish_reason": "gone"}, {"content": 5}, {"tool_calls": [1]}])
def test_a_form_that_does_not_fit_is_no_entry(change: dict[str, Any]) -> None:
    """Also under a seal that fits: another program may have written it."""
    data = msgspec.msgpack.decode(written())
    data[4] |= change
    with pytest.raises(CorruptError):
        entry.decode(msgspec.msgpack.encode(data))


def test_fields_of_a_later_version_are_passed_over() -> None:
    """Another process may run a newer version with the same form."""
    data = msgspec.msgpack.decode(written())
    data[4]["new_field"] = 1
    assert ENTRY == entry.decode(msgspec.msgpack.encode([*data, "new"]))


@pytest.mark.parametrize(
    ("now", "at_most", "holds", "age"),
    [
        (1000.0, None, True, 0.0),
        (1059.9, None, True, pytest.approx(59.9)),
        (1060.0, None, False, 60.0),
        (1059.9, 59.0, False, pytest.approx(59.9)),
        (1059.9, 100.0, True, pytest.approx(59.9)),
        (1060.0, 100.0, False, 60.0),
        (1000.0 - SKEW, None, True, 0.0),
        (999.0 - SKEW, None, False, 0.0),
        (0.0, None, False, 0.0),
    ],
)
def test_an_entry_holds_for_its_time(now: float, at_most: float | None, holds: bool, age: float) -> None:
    """No longer, and no longer than who asks wants it. A clock set back a little makes it new, one set back far makes
    it unbelievable: else it would hold for as long as the clock was wrong."""
    assert (holds, age) == (ENTRY.holds(now, at_most), ENTRY.age(now))
