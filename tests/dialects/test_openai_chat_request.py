"""The bytes that are sent to an OpenAI-compatible host, for representative requests."""

import json
from typing import Any

import pytest

from multi_llm_wrapper.dialects import openai_chat
from multi_llm_wrapper.dialects.base import Profile, Quirks
from multi_llm_wrapper.errors import ValidationError
from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
    DeveloperMessage,
    Function,
    FunctionCall,
    ImagePart,
    ImageURL,
    JSONSchema,
    Message,
    MessageToolCall,
    NamedFunction,
    NamedTool,
    NativeMessage,
    SystemMessage,
    TextPart,
    Tool,
    ToolMessage,
    UserMessage,
)


def sent(*messages: Message, profile: Profile | None = None, quirks: Quirks | None = None, **fields: Any) -> str:
    request = ChatRequest(model="m", messages=list(messages) or [UserMessage("Hi")], **fields)
    wire = openai_chat.encode_request(request, profile or Profile(), quirks or Quirks())
    assert ("/chat/completions", {}) == (wire.path, wire.headers)
    return wire.body.decode()


HI = '"messages":[{"role":"user","content":"Hi"}]'


def test_only_what_was_given_is_sent() -> None:
    """A plain question is model and messages, nothing else."""
    assert f'{{"model":"m",{HI}}}' == sent()


def test_everything_in_a_fixed_order() -> None:
    """All parameters have their OpenAI names and always the same order."""
    fields: dict[str, Any] = {
        "tools": [
            Tool(Function("f", "Does", {"type": "object"}, True)),
            Tool(Function("g")),
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": JSONSchema({"type": "object"}, "answer", True, "An answer"),
        "reasoning_effort": "low",
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["a", "b"],
        "seed": 0,
        "stream": True,
    }
    expected = (
        f'{{"model":"m",{HI},"tools":[{{"function":{{"name":"f","description":"Does","parameters":{{"type":"object"}},'
        '"strict":true},"type":"function"},{"function":{"name":"g"},"type":"function"}],"tool_choice":"required",'
        '"parallel_tool_calls":false,"response_format":{"type":"json_schema","json_schema":{"name":"answer",'
        '"schema":{"type":"object"},"strict":true,"description":"An answer"}},"reasoning_effort":"low","max_tokens":9,'
        '"temperature":0.0,"top_p":0.5,"stop":["a","b"],"seed":0,"stream":true,'
        '"stream_options":{"include_usage":true}}'
    )

    assert expected == sent(**fields)
    assert expected == sent(**dict(reversed(fields.items())))


def test_messages_of_every_role() -> None:
    """Each role, part and tool call is written in OpenAI's shape; beside calls without text content is null."""
    call = MessageToolCall("c1", FunctionCall("f", '{"x":1}'))
    body = sent(
        SystemMessage("Be brief"),
        DeveloperMessage([TextPart("Please")], name="dev"),
        UserMessage([TextPart("See"), ImagePart(ImageURL("data:image/png;base64,AA==", "low"))], name="ann"),
        AssistantMessage(None, [call]),
        ToolMessage("3", "c1"),
        AssistantMessage("Three", name="bot"),
    )
    expected = [
        {"role": "system", "content": "Be brief"},
        {"role": "developer", "content": [{"type": "text", "text": "Please"}], "name": "dev"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            ],
            "name": "ann",
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "f", "arguments": '{"x":1}'}, "id": "c1", "type": "function"}],
        },
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Three", "name": "bot"},
    ]

    assert expected == json.loads(body)["messages"]


def test_named_tool() -> None:
    """A tool choice that names a function has OpenAI's shape."""
    choice = json.loads(sent(tools=[Tool(Function("f"))], tool_choice=NamedTool(NamedFunction("f"))))["tool_choice"]

    assert {"type": "function", "function": {"name": "f"}} == choice


def test_default_schema_name_is_sent() -> None:
    """The API insists on a name, so the default one is written too."""
    body = json.loads(sent(response_format=JSONSchema({"type": "object"})))

    assert {"name": "response", "schema": {"type": "object"}} == body["response_format"]["json_schema"]


@pytest.mark.parametrize(
    ("profile", "quirks", "field"),
    [
        (None, None, "max_tokens"),
        (Profile(max_tokens_field="max_completion_tokens"), None, "max_completion_tokens"),
        (Profile(max_tokens_field="max_completion_tokens"), Quirks(max_tokens_field="max_tokens"), "max_tokens"),
    ],
)
def test_name_of_the_limit(profile: Profile | None, quirks: Quirks | None, field: str) -> None:
    """The limit goes under the name that the model wants, or else that of the host."""
    assert f'{{"model":"m",{HI},"{field}":5}}' == sent(profile=profile, quirks=quirks, max_tokens=5)


def test_quirks_of_a_host() -> None:
    """A host may not know stream options or developers, and may want something in every request."""
    quirks = Quirks(stream_usage=False, developer_role=False, always={"user": "u", "seed": 7, "thinking": {"on": True}})
    body = sent(DeveloperMessage("Be brief", name="d"), quirks=quirks, stream=True, seed=1)
    expected = (
        '{"model":"m","messages":[{"role":"system","content":"Be brief","name":"d"}],"seed":1,"stream":true,'
        '"user":"u","thinking":{"on":true}}'
    )

    assert expected == body
    assert 7 == json.loads(sent(quirks=quirks))["seed"]


NATIVE = {"reasoning_content": "Hm", "reasoning_details": [{"type": "x"}], "content": [{"type": "thinking"}]}


@pytest.mark.parametrize(
    ("dialect", "echo", "expected"),
    [
        ("openai_chat", ("reasoning_content",), {"content": "Hi", "reasoning_content": "Hm"}),
        ("openai_chat", ("reasoning_details", "absent"), {"content": "Hi", "reasoning_details": [{"type": "x"}]}),
        ("openai_chat", ("content",), {"content": [{"type": "thinking"}]}),
        ("openai_chat", (), {"content": "Hi"}),
        ("anthropic_messages", ("content",), {"content": "Hi"}),
    ],
)
def test_native_message_is_echoed_where_wanted(dialect: str, echo: tuple[str, ...], expected: Any) -> None:
    """Of a native message of this dialect the host gets back what it wants, and nothing of any other."""
    message = AssistantMessage("Hi", provider_data=NativeMessage(dialect, NATIVE))
    body = sent(message, quirks=Quirks(echo=echo))

    assert {"role": "assistant", **expected} == json.loads(body)["messages"][0]
    assert "provider_data" not in body


@pytest.mark.parametrize("odd", [object(), "\ud800", {1: object()}])
def test_values_that_are_no_json(odd: Any) -> None:
    """What cannot be written is refused before anything is sent, by us."""
    with pytest.raises(ValidationError, match="cannot be written as JSON") as caught:
        sent(tools=[Tool(Function("f", parameters={"x": odd}))])

    assert "client" == caught.value.rejected_by
