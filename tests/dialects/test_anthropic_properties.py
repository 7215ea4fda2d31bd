"""Anthropic Messages: what one side writes, the other reads, for everything the protocol can say."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from multi_llm_wrapper.dialects import anthropic_messages
from multi_llm_wrapper.fold import Fold
from multi_llm_wrapper.sse import SSEParser
from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
    FunctionCall,
    Message,
    MessageToolCall,
    Native,
    NativeMessage,
    Reply,
    UserMessage,
)
from tests.strategies import (
    canonical,
    chat_requests,
    ids,
    json_objects,
    names_of_functions,
    pieces,
    replies,
    reply_events,
    visible_texts,
)

HEADERS = {"anthropic-version": "2023-06-01"}

expressible = chat_requests(
    names=False,
    developer=False,
    system_anywhere=False,
    system_messages=1,
    alternate=True,
    image_detail=False,
    raw_arguments=False,
    optional_parameters=False,
    schema_details=False,
    schema_name=False,
    efforts=("none", "low", "medium", "high"),
    max_tokens="always",
    max_temperature=1.0,
    seed=False,
)
"""Left out is what Anthropic has no words for, and what it says in one way where we have two."""


def passed_on(request: ChatRequest) -> ChatRequest:
    wire = anthropic_messages.encode_request(request)
    return anthropic_messages.decode_request(wire.path, HEADERS | wire.headers, wire.body)


def normal(request: ChatRequest) -> ChatRequest:
    """What remains different: parallel calls are part of the tool choice, allowed when nothing is said, and a list of
    one text beside tool calls is a text."""
    forbidden = request.parallel_tool_calls is False and request.tool_choice != "none"
    return structs.replace(
        request,
        messages=[_normal_message(message) for message in request.messages],
        tool_choice=request.tool_choice or ("auto" if forbidden else None),
        parallel_tool_calls=False if forbidden else None,
    )


def _normal_message(message: Message) -> Message:
    if not isinstance(message, AssistantMessage) or not message.tool_calls:
        return message
    if isinstance(message.content, list) and len(message.content) == 1:
        return structs.replace(message, content=message.content[0].text)
    return message


@given(expressible)
def test_requests_survive_the_wire(request: ChatRequest) -> None:
    """decode(encode(x)) is x, but for the differences that `normal` names."""
    assert normal(request) == passed_on(request)


@given(chat_requests(raw_arguments=False, seed=False, max_temperature=1.0))
def test_requests_are_stable_after_one_pass(request: ChatRequest) -> None:
    """What the protocol cannot say is lost once (names, details, order of system texts), and nothing after that."""
    once = anthropic_messages.encode_request(passed_on(request))

    assert once == anthropic_messages.encode_request(passed_on(passed_on(request)))


# --- replies ----------------------------------------------------------------------------------------------------


def whole(reply: Reply) -> Reply:
    wire = anthropic_messages.encode_reply(reply, created=0)
    events = anthropic_messages.decoder().reply(wire.body)
    return Fold(anthropic_messages.read_usage).add_all(events).reply()


def read_stream(chunks: list[bytes]) -> Reply:
    parser, decoder, fold = SSEParser(), anthropic_messages.decoder(), Fold(anthropic_messages.read_usage)
    for chunk in chunks:
        for event in parser.feed(chunk):
            fold.add_all(decoder.feed(event))
    assert decoder.ended
    return fold.add_all(decoder.close()).reply()


sayable = replies(raw_arguments=False, usage="always")
"""Usage is no choice on this wire, and arguments are objects."""


@given(sayable)
def test_replies_survive_the_wire(reply: Reply) -> None:
    """fold(decode(encode(r))) is r."""
    assert canonical(reply) == canonical(whole(reply))


@given(st.data(), sayable)
def test_streams_survive_the_wire(data: st.DataObject, reply: Reply) -> None:
    """However the answer is cut into events, and the bytes into reads."""
    writer = anthropic_messages.encoder(response_id=str(reply.response_id), model=str(reply.response_model), created=0)
    raw = writer.start() + b"".join(writer.event(event) for event in data.draw(reply_events(reply)))
    assert reply.finish_reason is not None
    raw += writer.end(reply.finish_reason, reply.usage)

    assert canonical(reply) == canonical(read_stream(data.draw(pieces(raw))))


# --- native messages --------------------------------------------------------------------------------------------


def block(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


citations = st.lists(json_objects, min_size=1, max_size=2)
special = (
    block("thinking", thinking=visible_texts, signature=ids)
    | block("redacted_thinking", data=ids)
    | block("text", text=visible_texts, citations=citations)
    | block("server_tool_use", id=ids, name=names_of_functions, input=json_objects)
    | block("web_search_tool_result", tool_use_id=ids, content=st.lists(json_objects, max_size=2))
    | block("future", value=json_objects)
)
plain = block("text", text=visible_texts) | block("tool_use", id=ids, name=names_of_functions, input=json_objects)
native_turns = st.tuples(special, st.lists(special | plain, max_size=4)).map(lambda found: [found[0], *found[1]])


@given(st.data(), native_turns)
def test_native_blocks_survive_the_round(data: st.DataObject, blocks: list[dict[str, Any]]) -> None:
    """From the provider, whole or streamed, into the answer, and in the next turn back, block for block."""
    native = NativeMessage("anthropic_messages", {"content": blocks})
    answer = whole(Reply(native=native, finish_reason="stop"))
    writer = anthropic_messages.encoder(response_id="msg_1", model="claude-x", created=0)
    raw = writer.start() + writer.event(Native(native)) + writer.end("stop", None)
    streamed = read_stream(data.draw(pieces(raw)))

    assert native == answer.native
    assert native == streamed.native
    for reply in (answer, streamed):
        assert blocks == _sent_back(reply)


def _sent_back(reply: Reply) -> Any:
    calls = [MessageToolCall(call.id, FunctionCall(call.name, call.arguments)) for call in reply.tool_calls]
    turn = AssistantMessage(reply.content or None, calls or None, provider_data=reply.native)
    wire = anthropic_messages.encode_request(ChatRequest(model="m", messages=[UserMessage("Hi"), turn]))
    return json.loads(wire.body)["messages"][1]["content"]
