"""The OpenAI Chat dialect as a whole: each direction undoes the other, and pieces read as the whole does."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import dialects
from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.dialects.base import Dialect, Profile, Quirks
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import SSEParser
from multi_llm_wrapper.types import ChatRequest, Extra, Reply
from tests.strategies import canonical, chat_requests, pieces, replies, reply_events


def read_reply(body: bytes) -> Reply:
    return Fold(openai_chat.read_usage).add_all(openai_chat.decoder().reply(body)).reply()


def read_stream(reads: list[bytes]) -> tuple[Reply, bool]:
    parser, decoder, fold = SSEParser(), openai_chat.decoder(), Fold(openai_chat.read_usage)
    for read in reads:
        for event in parser.feed(read):
            fold.add_all(decoder.feed(event))
    for event in parser.close():
        fold.add_all(decoder.feed(event))
    return fold.add_all(decoder.close()).reply(), decoder.ended


def encoder_for(reply: Reply, include_usage: bool = True) -> Any:
    return openai_chat.encoder(
        response_id=reply.response_id or "",
        model=reply.response_model or "",
        created=1_700_000_000,
        include_usage=include_usage,
    )


def test_package_is_a_dialect() -> None:
    """The package itself has everything that a dialect must have."""
    dialect: Dialect = openai_chat

    assert "openai_chat" == dialect.name
    assert sorted(openai_chat.__all__) == openai_chat.__all__


def test_get_gives_the_package() -> None:
    """A dialect is got by its name and is the same object every time."""
    assert openai_chat is dialects.get("openai_chat")
    assert sorted(dialects.NAMES) == list(dialects.NAMES)


def test_get_refuses_an_unknown_name() -> None:
    """A name that is no dialect is a ValueError that lists the dialects."""
    with pytest.raises(ValueError, match=r"no dialect 'base'; the dialects are .*openai_chat"):
        dialects.get("base")


@given(chat_requests(), st.sampled_from(["max_tokens", "max_completion_tokens"]))
def test_request_survives_the_wire(request: ChatRequest, field: str) -> None:
    """Every canonical request is read back from its own bytes unchanged."""
    wire = openai_chat.encode_request(request, Profile(max_tokens_field=field))

    assert request == openai_chat.decode_request(wire.path, {}, wire.body)


@given(chat_requests())
def test_request_bytes_are_a_function_of_the_request(request: ChatRequest) -> None:
    """Equal requests have equal bytes, for these are the key of caches and of the simulator's answers."""
    again = msgspec.convert(msgspec.to_builtins(request), ChatRequest)

    assert openai_chat.encode_request(request).body == openai_chat.encode_request(again).body


@given(chat_requests())
def test_usage_is_wanted_as_the_quirk_says(request: ChatRequest) -> None:
    """`wants_usage` reads what `stream_usage` wrote, and nothing is said about it when nothing is streamed."""
    with_usage, without = (openai_chat.encode_request(request, quirks=Quirks(stream_usage=on)) for on in (True, False))

    assert request.stream is openai_chat.wants_usage(with_usage.body)
    assert openai_chat.wants_usage(without.body) is False


@given(replies())
def test_reply_survives_the_wire(reply: Reply) -> None:
    """Every canonical reply is read back from its own bytes unchanged."""
    wire = openai_chat.encode_reply(reply, created=1_700_000_000)

    assert 200 == wire.status
    assert canonical(reply) == canonical(read_reply(wire.body))


@given(st.data(), replies())
def test_stream_survives_the_wire(data: st.DataObject, reply: Reply) -> None:
    """A streamed answer folds to the reply it was made from, however it is cut into events and reads."""
    encoder = encoder_for(reply)
    frames = [encoder.start(), *(encoder.event(event) for event in data.draw(reply_events(reply)))]
    assert reply.finish_reason is not None
    frames.append(encoder.end(reply.finish_reason, reply.usage))
    found, ended = read_stream(data.draw(pieces(b"".join(frames))))

    assert canonical(reply) == canonical(found)
    assert ended


@given(replies(usage="always"))
def test_stream_without_usage_says_nothing_about_it(reply: Reply) -> None:
    """With `include_usage` off no chunk mentions usage, and the answer has none."""
    encoder = encoder_for(reply, include_usage=False)
    stream = encoder.start() + encoder.end(reply.finish_reason or "stop", reply.usage)

    assert b'"usage"' not in stream
    assert read_stream([stream])[0].usage is None


EXTRAS: dict[str, Any] = {
    "refusal": "I will not.",
    "logprobs": {"content": [{"token": "a", "logprob": -0.1}], "refusal": None},
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}],
    "reasoning_details": [{"type": "reasoning.text", "text": "so", "index": 0, "signature": "s"}],
    "content_filter_results": {"hate": {"filtered": False}},
    "system_fingerprint": "fp_1",
    "service_tier": "flex",
    "citations": ["https://example.com"],
    "choices": [{"index": 1, "message": {"content": "another"}}],
    "self": {"x": 1},
}


@pytest.mark.parametrize("name", EXTRAS)
def test_extras_survive_the_wire(name: str) -> None:
    """What has no canonical place is written where a provider would put it and read back under its name."""
    reply = Reply(content="x", finish_reason="stop", extras={name: EXTRAS[name]})
    encoder = encoder_for(reply)
    stream = encoder.start() + encoder.event(Extra(name, EXTRAS[name])) + encoder.end("stop", None)

    assert EXTRAS[name] == read_reply(openai_chat.encode_reply(reply, created=1).body).extras[name]
    assert EXTRAS[name] == read_stream([stream])[0].extras[name]


@pytest.mark.parametrize("name", ["id", "object", "model", "usage", "error"])
def test_extras_never_stand_in_for_the_answer(name: str) -> None:
    """An extra with the name of a field of the protocol does not replace that field."""
    reply = Reply(content="x", finish_reason="stop", response_id="r", response_model="m", extras={name: {"a": 1}})
    encoder = encoder_for(reply)
    stream = encoder.start() + encoder.event(Extra(name, {"a": 1})) + encoder.end("stop", None)

    for found in (read_reply(openai_chat.encode_reply(reply, created=1).body), read_stream([stream])[0]):
        assert ("r", "m", None) == (found.response_id, found.response_model, found.usage)
