"""Canonical requests in Gemini's words, and back again through the server side."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from multi_llm_wrapper.dialects import gemini
from multi_llm_wrapper.dialects.base import PLAIN, Profile, Quirks
from multi_llm_wrapper.errors import UnsupportedFeatureError, ValidationError
from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
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
    Part,
    TextPart,
    Tool,
    ToolMessage,
    UserMessage,
)
from tests.strategies import chat_requests


def request(*messages: Any, model: str = "gemini-2.5-flash", **fields: Any) -> ChatRequest:
    """Messages are written as a caller writes them; a string is a user message."""
    written = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages or ("hi",)]
    return ChatRequest(model=model, messages=msgspec.convert(written, list[Message]), **fields)


def body(*messages: Any, profile: Profile = PLAIN, quirks: Quirks | None = None, **fields: Any) -> dict[str, Any]:
    wire = gemini.encode_request(request(*messages, **fields), profile, quirks or Quirks())
    decoded: dict[str, Any] = json.loads(wire.body)
    return decoded


def config(profile: Profile = PLAIN, **fields: Any) -> Any:
    return body(profile=profile, **fields).get("generationConfig")


def assistant(*calls: tuple[str, str, str], content: str | None = None, native: Any = None) -> dict[str, Any]:
    """An assistant message with calls of (id, name, arguments)."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": text}} for i, name, text in calls
        ]
    if native is not None:
        message["provider_data"] = {"dialect": "gemini", "fields": {"parts": native}}
    return message


def result(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


# --- where it goes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("gemini-x", False, "/v1beta/models/gemini-x:generateContent"),
        ("gemini-x", True, "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"),
        ("models/gemini-x", False, "/v1beta/models/gemini-x:generateContent"),
        ("tunedModels/mine-1", False, "/v1beta/tunedModels/mine-1:generateContent"),
        ("a/b c:d?", False, "/v1beta/models/a%2Fb%20c%3Ad%3F:generateContent"),
        ("models/", False, "/v1beta/models/models%2F:generateContent"),
    ],
)
def test_path(model: str, stream: bool, path: str) -> None:
    """The path carries the model and whether to stream; a model name cannot leave its place in it."""
    assert gemini.encode_request(request(model=model, stream=stream)).path == path


def test_bytes_of_the_smallest_request() -> None:
    """Nothing is sent that was not asked for."""
    wire = gemini.encode_request(request("Hello"))

    assert wire.body == b'{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}'
    assert wire.headers == {}


def test_bytes_of_a_full_request() -> None:
    """Every field has its place."""
    schema = {"type": "object", "properties": {}}
    wire = gemini.encode_request(
        request(
            {"role": "system", "content": "Be brief."},
            "Weather?",
            assistant(("a1", "weather", '{"city": "Paris"}'), content="Let me see."),
            result("a1", "sunny"),
            tools=[Tool(Function("weather", "Tells the weather.", schema))],
            tool_choice="required",
            response_format=JSONSchema(schema),
            reasoning_effort="low",
            max_tokens=100,
            temperature=0.5,
            top_p=0.9,
            stop=["END"],
            seed=7,
            stream=True,
        ),
        Profile(reasoning="budget"),
    )

    assert wire.body == (
        b'{"contents":[{"role":"user","parts":[{"text":"Weather?"}]},'
        b'{"role":"model","parts":[{"text":"Let me see."},'
        b'{"functionCall":{"id":"a1","name":"weather","args":{"city":"Paris"}}}]},'
        b'{"role":"user","parts":[{"functionResponse":{"id":"a1","name":"weather","response":{"result":"sunny"}}}]}],'
        b'"systemInstruction":{"parts":[{"text":"Be brief."}]},'
        b'"tools":[{"functionDeclarations":[{"name":"weather","description":"Tells the weather.",'
        b'"parametersJsonSchema":{"type":"object","properties":{}}}]}],'
        b'"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},'
        b'"generationConfig":{"maxOutputTokens":100,"temperature":0.5,"topP":0.9,"stopSequences":["END"],"seed":7,'
        b'"responseMimeType":"application/json","responseJsonSchema":{"type":"object","properties":{}},'
        b'"thinkingConfig":{"includeThoughts":true,"thinkingBudget":1024}}}'
    )


# --- messages ---------------------------------------------------------------------------------------------------


def test_instructions_are_hoisted() -> None:
    """System and developer messages go to systemInstruction in their order, wherever they stand."""
    sent = body(
        {"role": "system", "content": "One."},
        "hi",
        {"role": "developer", "content": [{"type": "text", "text": "Two."}, {"type": "text", "text": "Three."}]},
        "there",
    )

    assert sent["systemInstruction"] == {"parts": [{"text": "One."}, {"text": "Two."}, {"text": "Three."}]}
    assert sent["contents"] == [{"role": "user", "parts": [{"text": "hi"}, {"text": "there"}]}]


def test_instructions_alone_are_refused() -> None:
    """The API wants contents, so a conversation of instructions is refused unsent."""
    with pytest.raises(ValidationError, match="messages has nothing but instructions; add a user message") as raised:
        body({"role": "system", "content": "One."})

    assert raised.value.rejected_by == "client"


def test_turns_of_one_side_are_merged() -> None:
    """Messages of one side in a row are one turn; an answer without anything in it is left out."""
    sent = body("a", "b", assistant(content="c"), assistant(content="d"), "e", assistant(content=""), "f")

    assert [(turn["role"], [part["text"] for part in turn["parts"]]) for turn in sent["contents"]] == [
        ("user", ["a", "b"]),
        ("model", ["c", "d"]),
        ("user", ["e", "f"]),
    ]


def test_results_keep_a_turn_of_their_own() -> None:
    """After the results of calls, more from the user is another turn, as the API wants it."""
    sent = body("?", assistant(("x", "f", "{}"), ("y", "g", "")), result("x", "1"), result("y", "2"), "and?")

    assert [len(turn["parts"]) for turn in sent["contents"]] == [1, 2, 2, 1]
    assert sent["contents"][3] == {"role": "user", "parts": [{"text": "and?"}]}
    assert sent["contents"][1]["parts"][1] == {"functionCall": {"id": "y", "name": "g", "args": {}}}


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ("sunny", {"result": "sunny"}),
        ('{"degrees": 21}', {"degrees": 21}),
        ("[1]", {"result": "[1]"}),
        ("{broken", {"result": "{broken"}),
        ("", {"result": ""}),
        ('{"result": "x"}', {"result": '{"result": "x"}'}),
        ('{"result": 1}', {"result": 1}),
    ],
)
def test_result_objects(content: str, response: Any) -> None:
    """A tool result that is a JSON object is sent as it is, other text under `result`, so that both can be told."""
    sent = body("?", assistant(("x", "f", "{}")), result("x", content))

    assert sent["contents"][2]["parts"][0]["functionResponse"]["response"] == response


def test_result_without_its_call() -> None:
    """A result of a call that nobody made is refused unsent, and the message names the field."""
    with pytest.raises(ValidationError, match=r"messages\[1\]\.tool_call_id is 'x'"):
        body("?", result("x", "1"))


@pytest.mark.parametrize("text", ["[1]", "1", "{", '"text"', "null"])
def test_arguments_that_are_no_object(text: str) -> None:
    """Gemini takes arguments as an object only; the message names the call."""
    with pytest.raises(ValidationError, match=r"messages\[1\]\.tool_calls\[1\]\.function\.arguments"):
        body("?", assistant(("x", "f", "{}"), ("y", "f", text)))


def test_call_without_a_name() -> None:
    """A call of nothing is refused unsent."""
    with pytest.raises(ValidationError, match=r"messages\[1\]\.tool_calls\[0\]\.function\.name is empty"):
        body("?", assistant(("x", "", "{}")))


def test_made_up_ids_are_not_sent() -> None:
    """Ids that the decoder made up mean nothing to the provider; results then go in the order of the calls."""
    calls = assistant(("call_0_00ff00ff", "f", "{}"), ("call_1_00ff00ff", "f", "{}"))
    sent = body("?", calls, result("call_1_00ff00ff", "second"), result("call_0_00ff00ff", "first"))

    assert sent["contents"][1]["parts"] == [{"functionCall": {"name": "f", "args": {}}}] * 2
    assert sent["contents"][2]["parts"] == [
        {"functionResponse": {"name": "f", "response": {"result": "first"}}},
        {"functionResponse": {"name": "f", "response": {"result": "second"}}},
    ]


def test_some_ids_are_made_up() -> None:
    """One result without an id is enough to put all of them in the order of the calls."""
    calls = assistant(("call_0", "f", "{}"), ("gj2", "f", "{}"))
    sent = body("?", calls, result("gj2", "second"), result("call_0", "first"))

    assert [part["functionResponse"].get("id") for part in sent["contents"][2]["parts"]] == [None, "gj2"]


def test_the_providers_ids_are_sent() -> None:
    """Ids that came from a provider go back with call and result, and the order of results is the caller's."""
    sent = body("?", assistant(("gj1", "f", "{}"), ("gj2", "f", "{}")), result("gj2", "b"), result("gj1", "a"))

    assert [part["functionCall"]["id"] for part in sent["contents"][1]["parts"]] == ["gj1", "gj2"]
    assert [part["functionResponse"]["id"] for part in sent["contents"][2]["parts"]] == ["gj2", "gj1"]


def test_the_same_id_in_two_turns() -> None:
    """A result belongs to the nearest call before it."""
    sent = body(
        "?",
        assistant(("call_0", "f", "{}")),
        result("call_0", "1"),
        assistant(("call_0", "g", "{}")),
        result("call_0", "2"),
    )

    assert [sent["contents"][i]["parts"][0]["functionResponse"]["name"] for i in (2, 4)] == ["f", "g"]


def test_images() -> None:
    """A data URL is sent inline, any other URL as a file with a type told from its ending."""
    urls = [
        "data:image/png;base64,AAAA",
        "data:image/webp;charset=x;base64,BBBB",
        "https://example.com/a.PNG?size=1",
        "https://example.com/photo",
        "gs://bucket/a.heic",
    ]
    sent = body({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}} for url in urls]})

    assert sent["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "image/webp", "data": "BBBB"}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.PNG?size=1"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/photo"}},
        {"fileData": {"mimeType": "image/heic", "fileUri": "gs://bucket/a.heic"}},
    ]


@pytest.mark.parametrize("url", ["data:", "data:image/png,AAAA", "data:image/png;base64,", "data:;base64,AAAA"])
def test_bad_data_urls(url: str) -> None:
    """A data URL without type or base64 content is refused unsent, and the message names the field."""
    parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(ValidationError, match=r"messages\[0\]\.content\[1\]\.image_url\.url"):
        body({"role": "user", "content": parts})


# --- the native turn --------------------------------------------------------------------------------------------

NATIVE = [
    {"text": "Hmm.", "thought": True},
    {"text": "Let me "},
    {"executableCode": {"code": "1"}},
    {"text": "see."},
    {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2lnbg=="},
]
CALL = ("call_0_12345678", "f", '{"a":1.0}')


def test_native_parts_go_back_verbatim() -> None:
    """While the message says what the native parts say, they are sent in its place, and the result fits them."""
    turn = assistant(CALL, content="Let me see.", native=NATIVE)
    sent = body("?", turn, result("call_0_12345678", "ok"))

    assert sent["contents"][1] == {"role": "model", "parts": NATIVE}
    assert sent["contents"][2]["parts"] == [{"functionResponse": {"name": "f", "response": {"result": "ok"}}}]


def test_a_changed_id_keeps_the_signature() -> None:
    """An id that the caller renamed is not sent where the native call has none: the parts must stay as they are."""
    sent = body("?", assistant(("mine", "f", '{"a":1}'), content="Let me see.", native=NATIVE), result("mine", "ok"))

    assert sent["contents"][1]["parts"] == NATIVE
    assert "id" not in sent["contents"][2]["parts"][0]["functionResponse"]


@pytest.mark.parametrize(
    ("content", "calls"),
    [
        ("Something else.", [("x", "f", '{"a":1}')]),
        ("Let me see.", []),
        ("Let me see.", [("x", "g", '{"a":1}')]),
        ("Let me see.", [("x", "f", '{"a":2}')]),
        ("Let me see.", [("x", "f", '{"a":1}'), ("y", "f", "{}")]),
    ],
)
def test_native_parts_of_a_changed_message(content: str, calls: list[tuple[str, str, str]]) -> None:
    """When the caller has changed text or calls, what the caller says is sent, not what the provider said."""
    sent = body("?", assistant(*calls, content=content, native=NATIVE))

    assert sent["contents"][1]["parts"] == [
        {"text": content},
        *({"functionCall": {"id": i, "name": name, "args": json.loads(text)}} for i, name, text in calls),
    ]


@pytest.mark.parametrize("parts", [None, [], "parts", [1], [{"text": 1}], [{"functionCall": {"name": 1}}]])
def test_native_parts_that_are_none(parts: Any) -> None:
    """Junk in provider_data is passed over."""
    turn = AssistantMessage("ok", provider_data=NativeMessage("gemini", {"parts": parts}))
    wire = gemini.encode_request(ChatRequest(model="m", messages=[UserMessage("?"), turn]))

    assert json.loads(wire.body)["contents"][1]["parts"] == [{"text": "ok"}]


def test_native_parts_of_another_dialect() -> None:
    """What another provider said is not sent here."""
    foreign = NativeMessage("anthropic_messages", {"parts": [{"text": "ok", "thoughtSignature": "c2lnbg=="}]})
    turn = AssistantMessage("ok", provider_data=foreign)
    wire = gemini.encode_request(ChatRequest(model="m", messages=[UserMessage("?"), turn]))

    assert json.loads(wire.body)["contents"][1]["parts"] == [{"text": "ok"}]


# --- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (NamedTool(NamedFunction("f")), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice(choice: Any, sent: Any) -> None:
    """tool_choice is the mode of the function calling config."""
    assert body(tool_choice=choice)["toolConfig"] == {"functionCallingConfig": sent}


def test_parallel_tool_calls() -> None:
    """Parallel calls are Gemini's only way: asking for them sends nothing, refusing them is not supported."""
    assert body(parallel_tool_calls=True).keys() == {"contents"}
    with pytest.raises(UnsupportedFeatureError, match="parallel_tool_calls=False") as raised:
        body(parallel_tool_calls=False)
    assert (raised.value.rejected_by, raised.value.model) == ("client", "gemini-2.5-flash")


@pytest.mark.parametrize(
    ("how", "effort", "sent"),
    [
        ("budget", "none", {"thinkingBudget": 0}),
        ("budget", "minimal", {"includeThoughts": True, "thinkingBudget": 512}),
        ("budget", "low", {"includeThoughts": True, "thinkingBudget": 1024}),
        ("budget", "medium", {"includeThoughts": True, "thinkingBudget": 8192}),
        ("budget", "high", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("level", "minimal", {"includeThoughts": True, "thinkingLevel": "minimal"}),
        ("level", "high", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("effort", "medium", {"includeThoughts": True, "thinkingLevel": "medium"}),
    ],
)
def test_reasoning_effort(how: str, effort: str, sent: Any) -> None:
    """Gemini 2.5 takes a budget in tokens, Gemini 3 and unknown families a level; thoughts are asked for with both."""
    assert config(Profile(reasoning=how), reasoning_effort=effort) == {"thinkingConfig": sent}


@pytest.mark.parametrize(
    ("how", "effort"), [("none", "low"), ("level", "none"), ("budget", "huge"), ("effort", "huge")]
)
def test_reasoning_effort_without_words(how: str, effort: str) -> None:
    """An effort that the model has no word for is not supported."""
    with pytest.raises(UnsupportedFeatureError, match="reasoning_effort"):
        config(Profile(reasoning=how), reasoning_effort=effort)


def test_response_format() -> None:
    """A JSON schema is sent as it is; its name and `strict` have no place."""
    schema = {"type": "object", "$defs": {"A": {"type": "string"}}}

    assert config(response_format=JSONSchema(schema, "thing", True, "a thing")) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }


def test_always() -> None:
    """What a host wants in every request is added; what the caller said beats it."""
    always = {"safetySettings": [], "generationConfig": {"topK": 1, "seed": 1}, "contents": "never"}
    sent = body("hi", seed=2, quirks=Quirks(always=always))

    assert sent["safetySettings"] == []
    assert sent["generationConfig"] == {"topK": 1, "seed": 2}
    assert sent["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]


@pytest.mark.parametrize("value", [object(), "\ud800", float, {1j}])
def test_what_cannot_be_json(value: Any) -> None:
    """A schema that is no JSON is refused unsent."""
    with pytest.raises(ValidationError, match="cannot be written as JSON"):
        body(tools=[Tool(Function("f", parameters={"x": value}))])


# --- there and back ---------------------------------------------------------------------------------------------


@given(
    chat_requests(
        names=False,
        developer=False,
        system_anywhere=False,
        system_messages=1,
        image_detail=False,
        raw_arguments=False,
        function_strict=False,
        parallel_tool_calls=False,
        schema_details=False,
        schema_name=False,
    )
)
def test_there_and_back(asked: ChatRequest) -> None:
    """What the server side reads is what was asked, but for the cut of texts into messages and parts."""
    wire = gemini.encode_request(asked)

    assert gemini.decode_request(wire.path, wire.headers, wire.body) == plain(asked)


@given(
    chat_requests(
        names=False,
        developer=False,
        system_anywhere=False,
        system_messages=1,
        image_detail=False,
        raw_arguments=False,
        function_strict=False,
        parallel_tool_calls=False,
        schema_details=False,
        schema_name=False,
        efforts=("none", "minimal", "low", "medium", "high"),
    )
)
def test_there_and_back_in_budgets(asked: ChatRequest) -> None:
    """The same for a model that counts its thoughts."""
    wire = gemini.encode_request(asked, Profile(reasoning="budget"))

    assert gemini.decode_request(wire.path, wire.headers, wire.body) == plain(asked)


def plain(asked: ChatRequest) -> ChatRequest:
    """One text is a string, user messages in a row are one, and a result that is an object is compact JSON."""
    messages: list[Message] = []
    for message in asked.messages:
        last = messages[-1] if messages else None
        if isinstance(message, UserMessage) and isinstance(last, UserMessage):
            messages[-1] = UserMessage([*parts(last.content), *parts(message.content)])
        elif isinstance(message, ToolMessage):
            text = message.content if isinstance(message.content, str) else "".join(p.text for p in message.content)
            messages.append(ToolMessage(compact(text), message.tool_call_id))
        else:
            content: Any = message.content
            single = isinstance(content, list) and len(content) == 1 and isinstance(content[0], TextPart)
            messages.append(msgspec.structs.replace(message, content=content[0].text) if single else message)
    return msgspec.structs.replace(asked, messages=messages)


def parts(content: str | list[Part]) -> list[Part]:
    return [TextPart(content)] if isinstance(content, str) else content


def compact(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else text


def test_native_turn_there_and_back() -> None:
    """A turn with signatures keeps them, and calls without ids are numbered through the conversation."""
    first = [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "YQ=="}]
    second = [{"text": "Thus:"}, {"functionCall": {"name": "g", "args": {"b": [1]}}, "thoughtSignature": "Yg=="}]
    asked = request(
        "?",
        assistant(("call_0", "f", "{}"), native=first),
        result("call_0", "1"),
        assistant(("call_1", "g", '{"b":[1]}'), content="Thus:", native=second),
        result("call_1", "2"),
    )
    wire = gemini.encode_request(asked)

    assert gemini.decode_request(wire.path, wire.headers, wire.body) == asked


def test_made_up_ids_are_numbered_anew() -> None:
    """Two turns whose calls bear the same made-up id have different ones on the other side, results included."""
    calls = [MessageToolCall("call_0", FunctionCall(name, "{}")) for name in ("f", "g")]
    asked = request("?")
    for call in calls:
        asked.messages += [AssistantMessage(tool_calls=[call]), ToolMessage("ok", "call_0")]
    wire = gemini.encode_request(asked)

    decoded = gemini.decode_request(wire.path, wire.headers, wire.body)

    assert [call.id for m in decoded.messages if isinstance(m, AssistantMessage) for call in m.tool_calls or []] == [
        "call_0",
        "call_1",
    ]
    assert [m.tool_call_id for m in decoded.messages if isinstance(m, ToolMessage)] == ["call_0", "call_1"]


def test_an_image_there_and_back() -> None:
    """Images come back as the URLs they were."""
    content: list[Part] = [
        TextPart("?"),
        ImagePart(ImageURL("data:image/png;base64,AAAA")),
        ImagePart(ImageURL("https://x.test/a.png")),
    ]
    asked = ChatRequest(model="m", messages=[UserMessage(content)])
    wire = gemini.encode_request(asked)

    assert gemini.decode_request(wire.path, wire.headers, wire.body) == asked
