"""Healthy answers: deterministic, counted right, within their limits, with tools, schemas and reasoning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.errors import ValidationError
from multi_llm_wrapper.simulator import Brain, answers, tokens
from multi_llm_wrapper.simulator.check import matches
from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
    Function,
    FunctionCall,
    ImagePart,
    ImageURL,
    JSONSchema,
    MessageToolCall,
    NamedFunction,
    NamedTool,
    SystemMessage,
    TextPart,
    Tool,
    ToolChoice,
    ToolMessage,
    Usage,
    UserMessage,
)
from tests.simulator.support import DIALECTS, MODELS, QUESTION, answer, ask, body_of

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    Tool(Function("get_weather", "The weather of a city.", WEATHER)),
    Tool(Function("send_mail", None, {"type": "object", "properties": {"to": {"type": "string", "format": "email"}}})),
    Tool(Function("stop_all")),
]


def request(question: str = QUESTION, **fields: Any) -> ChatRequest:
    return ChatRequest(model="some-model", messages=[UserMessage(question)], **fields)


def text(made: answers.Draft) -> str:
    return "".join(made.text)


# --- determinism and usage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_same_seed_gives_the_same_bytes(dialect: str, stream: bool) -> None:
    """Two brains of one seed answer alike, whatever else they were asked before; another seed says something else."""
    asked = ask(dialect, stream=stream)
    brain = Brain(seed=7)
    body_of(brain, ask("openai_chat", "something else"))

    assert body_of(Brain(seed=7), asked) == body_of(brain, asked)
    assert body_of(Brain(seed=8), asked) != body_of(brain, asked)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("limit", [None, 1, 3, 20, 4000])
@pytest.mark.parametrize("question", [QUESTION, "?", "Où est la bibliothèque? ☕", "call get_weather for me"])
def test_a_stream_folds_to_the_plain_answer(dialect: str, limit: int | None, question: str) -> None:
    """Content, calls, finish reason, ids and usage are equal, streamed or not."""
    fields: dict[str, Any] = tools_of(dialect, TOOLS)
    if dialect == "gemini":
        fields["generationConfig"] = {"maxOutputTokens": limit} if limit else {}
    elif limit is not None:
        fields["max_tokens"] = limit
    plain = answer(Brain(), dialect, question, **fields)
    stream = answer(Brain(), dialect, question, stream=True, **fields)

    for name in (
        "content",
        "reasoning",
        "tool_calls",
        "finish_reason",
        "usage",
        "response_id",
        "response_model",
        "native",
    ):
        assert getattr(plain, name) == getattr(stream, name), name
    assert plain.usage is not None
    assert limit is None or (plain.usage.output_tokens or 0) <= limit


def tools_of(dialect: str, tools: list[Tool]) -> dict[str, Any]:
    """Tools in the words of a dialect."""
    functions: list[dict[str, Any]] = [
        {
            "name": t.function.name,
            "description": t.function.description or "",
            "parameters": t.function.parameters or {},
        }
        for t in tools
    ]
    if dialect == "gemini":
        return {"tools": [{"functionDeclarations": functions}]}
    if dialect == "anthropic_messages":
        return {"tools": [{"name": f["name"], "input_schema": {"type": "object"} | f["parameters"]} for f in functions]}
    return {"tools": [{"type": "function", "function": f} for f in functions]}


def test_usage_counts_what_was_said() -> None:
    """Input counts messages, tools and schema; output counts text, calls and reasoning; the total is their sum."""
    made = answers.draft(request(reasoning_effort="low"), 0)
    usage = answers.usage(request(reasoning_effort="low"), made)
    counted = tokens.count(text(made)) + tokens.count("".join(made.reasoning))

    assert (
        Usage(tokens.PER_MESSAGE + tokens.count(QUESTION), counted, usage.total_tokens, 0, 0, len(made.reasoning))
        == usage
    )
    assert (usage.input_tokens or 0) + (usage.output_tokens or 0) == usage.total_tokens
    with_tools = answers.usage(request(tools=TOOLS), made)
    with_schema = answers.usage(request(response_format=JSONSchema(WEATHER)), made)
    assert (with_tools.input_tokens or 0) > (usage.input_tokens or 0)
    assert (with_schema.input_tokens or 0) > (usage.input_tokens or 0)


def test_every_part_of_a_conversation_counts() -> None:
    """Texts in parts, images, tool calls and results all cost tokens."""
    empty = ChatRequest(model="m", messages=[])
    call = MessageToolCall("call_1", FunctionCall("f", '{"a": 1}'))
    longer: list[Any] = [
        SystemMessage("Be brief."),
        UserMessage([TextPart("look"), ImagePart(ImageURL("https://example.com/a.png"))]),
        AssistantMessage(None, [call]),
        ToolMessage("result", "call_1"),
    ]
    assert tokens.prompt_tokens(empty) == 0
    before = 0
    for length in range(1, len(longer) + 1):
        count = tokens.prompt_tokens(ChatRequest(model="m", messages=longer[:length]))
        assert count > before
        before = count
    assert before > tokens.PER_IMAGE


# --- text ------------------------------------------------------------------------------------------------------------


def test_answers_quote_the_question_and_differ() -> None:
    """The beginning of the prompt is in the answer; other prompts and seeds give answers of other lengths."""
    texts = {text(answers.draft(request(f"{QUESTION} ({number})"), seed)) for number in range(5) for seed in range(5)}

    assert QUESTION in text(answers.draft(request(), 0))
    assert len(texts) == 25
    assert len({len(answer) for answer in texts}) > 10


def test_only_the_beginning_of_a_long_question_is_quoted() -> None:
    """A prompt of any length gives an answer of ordinary length."""
    assert len(text(answers.draft(request("word " * 100_000), 0))) < 1500
    assert len(text(answers.draft(request("x" * 100_000), 0))) < 1500


@given(st.text(max_size=200), st.integers(0, 5), st.integers(1, 300))
def test_a_limit_cuts_and_changes_nothing_else(question: str, seed: int, limit: int) -> None:
    """With `max_tokens` the answer is the beginning of the whole one, and the finish reason says which it is."""
    whole = answers.draft(request(question), seed)
    cut = answers.draft(request(question, max_tokens=limit), seed)

    assert whole.text[:limit] == cut.text
    assert ("length" if len(whole.text) > limit else "stop") == cut.finish


@given(st.text(max_size=50), st.integers(0, 5), st.lists(st.text(max_size=3), min_size=1, max_size=4))
def test_the_answer_ends_before_the_first_stop_sequence(question: str, seed: int, stop: list[str]) -> None:
    """No stop sequence is in the answer, and what is before the first one is all there."""
    whole = text(answers.draft(request(question), seed))
    made = answers.draft(request(question, stop=stop), seed)

    assert whole.startswith(text(made))
    assert not any(sequence and sequence in text(made) for sequence in stop)
    assert any(s and s in whole for s in stop) is (made.stopped_by is not None)


def test_of_several_stop_sequences_the_first_in_the_text_counts() -> None:
    """Whatever their order in the request."""
    for stop in (["capital", "France"], ["France", "capital"]):
        made = answers.draft(request(stop=stop), 0)

        assert made.stopped_by == "capital"
        assert text(made).endswith("What is the ")


def test_the_seed_of_a_request_gives_another_answer() -> None:
    """As with the real API, it is part of the question."""
    texts = {text(answers.draft(request(seed=seed), 0)) for seed in (None, 1, 2)}

    assert len(texts) == 3


def test_a_stop_sequence_behind_the_limit_does_not_count() -> None:
    """What is cut off by `max_tokens` cannot stop anything."""
    made = answers.draft(request(max_tokens=2, stop=["France"]), 0)

    assert (made.finish, made.stopped_by) == ("length", None)


@pytest.mark.parametrize(
    ("dialect", "fields", "word"),
    [
        ("anthropic_messages", {"stop_sequences": [" "]}, "stop_sequence"),
        ("openai_chat", {"stop": " "}, "stop"),
        ("gemini", {"generationConfig": {"stopSequences": [" "]}}, "STOP"),
    ],
)
def test_a_stop_sequence_is_told_in_the_providers_word(dialect: str, fields: dict[str, Any], word: str) -> None:
    """Anthropic names it, the others call it a normal stop."""
    for stream in (False, True):
        reply = answer(Brain(), dialect, stream=stream, **fields)

        assert ("stop", word) == (reply.finish_reason, reply.provider_finish_reason)


# --- tools -----------------------------------------------------------------------------------------------------------


def called(question: str = QUESTION, **fields: Any) -> list[str]:
    fields.setdefault("tools", TOOLS)
    return [call.name for call in answers.draft(request(question, **fields), 0).calls]


@pytest.mark.parametrize(
    ("question", "choice", "parallel", "expected"),
    [
        (QUESTION, None, None, []),
        (QUESTION, "auto", None, []),
        (QUESTION, "required", None, ["get_weather"]),
        ("use send_mail", "required", None, ["send_mail"]),
        ("use get_weather and Send Mail", "auto", None, ["get_weather", "send_mail"]),
        ("use get_weather and send_mail", None, False, ["get_weather"]),
        ("use get_weather and send_mail", "required", False, ["get_weather"]),
        ("use get_weather", "none", None, []),
        ("use get_weather", NamedTool(NamedFunction("stop_all")), None, ["stop_all"]),
    ],
)
def test_tools_are_called_when_they_are_wanted(
    question: str, choice: ToolChoice | None, parallel: bool | None, expected: list[str]
) -> None:
    """The one named; else those that the question names; else, when one must be called, the first."""
    assert expected == called(question, tool_choice=choice, parallel_tool_calls=parallel)


def test_arguments_satisfy_the_schema_of_the_tool() -> None:
    """Arguments are JSON that the tool's schema allows, and there are some for a tool without a schema."""
    for seed in range(20):
        made = answers.draft(request("get_weather, send_mail, stop_all", tools=TOOLS), seed)
        weather, mail, stop = (json.loads(call.arguments) for call in made.calls)

        assert matches(weather, WEATHER, WEATHER)
        assert "@" in mail.get("to", "@")
        assert stop == {}
        assert made.finish == "tool_calls"
        assert made.text == []


def test_calls_have_ids_of_their_own() -> None:
    """Ids differ within an answer and between turns, and the arguments do not hang on them."""
    one = answers.draft(request("get_weather, send_mail", tools=TOOLS), 0, "toolu_")
    two = answers.draft(request("get_weather, send_mail!", tools=TOOLS), 0, "toolu_")
    none = answers.draft(request("get_weather, send_mail", tools=TOOLS), 0, "")
    ids = [call.id for call in one.calls + two.calls]

    assert len(set(ids)) == 4
    assert all(call_id.startswith("toolu_") for call_id in ids)
    assert [call.arguments for call in one.calls] == [call.arguments for call in none.calls]
    assert [call.id for call in none.calls] == ["", ""]


def test_a_tool_that_was_not_offered_cannot_be_chosen() -> None:
    """The request is refused."""
    with pytest.raises(ValidationError, match="unheard_of"):
        called(tool_choice=NamedTool(NamedFunction("unheard_of")))


def test_a_call_that_does_not_fit_is_not_made() -> None:
    """A limit too small for the call ends the answer."""
    made = answers.draft(request("get_weather", tools=TOOLS, max_tokens=2), 0)

    assert (made.finish, made.calls, made.output_tokens) == ("length", [], 0)


def turn_with_results(**fields: Any) -> ChatRequest:
    calls = [
        MessageToolCall("c1", FunctionCall("get_weather", '{"city": "Paris"}')),
        MessageToolCall("c2", FunctionCall("send_mail", "{}")),
    ]
    asked = request("use get_weather and send_mail", tools=TOOLS, **fields)
    asked.messages += [AssistantMessage(None, calls), ToolMessage("18 degrees", "c1"), ToolMessage("sent", "c2")]
    return asked


def test_an_answer_after_tool_results_uses_them() -> None:
    """The results are quoted with their tools, and no tool is called again unless it must be."""
    made = answers.draft(turn_with_results(), 0)

    assert made.calls == []
    assert "get_weather returned: 18 degrees." in text(made)
    assert "send_mail returned: sent." in text(made)
    assert answers.draft(turn_with_results(tool_choice="required"), 0).calls


def test_a_question_after_tool_results_starts_anew() -> None:
    """Results of an earlier turn do not count any more."""
    asked = turn_with_results()
    asked.messages += [AssistantMessage("It is warm."), UserMessage("And now stop_all")]

    assert [call.name for call in answers.draft(asked, 0).calls] == ["stop_all"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_travel_in_every_dialect(dialect: str, stream: bool) -> None:
    """Two calls with their arguments arrive, with the finish reason for calls."""
    reply = answer(Brain(), dialect, "use get_weather and send_mail", stream=stream, **tools_of(dialect, TOOLS))

    assert [call.name for call in reply.tool_calls] == ["get_weather", "send_mail"]
    assert matches(json.loads(reply.tool_calls[0].arguments), WEATHER, WEATHER)
    assert reply.finish_reason == "tool_calls"
    assert len({call.id for call in reply.tool_calls}) == 2


# --- JSON schema -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        ("anthropic_messages", {"output_config": {"format": {"type": "json_schema", "schema": WEATHER}}}),
        ("openai_chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}}),
        ("gemini", {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": WEATHER}}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_answers_in_a_schema_validate(dialect: str, fields: dict[str, Any], stream: bool) -> None:
    """The content is JSON that the schema allows."""
    reply = answer(Brain(), dialect, stream=stream, **fields)

    assert matches(json.loads(reply.content), WEATHER, WEATHER)
    assert reply.finish_reason == "stop"


@pytest.mark.parametrize("schema", [{}, {"type": "object"}])
def test_json_without_a_schema_says_something_too(schema: dict[str, Any]) -> None:
    """What OpenAI calls JSON mode: an object with an answer in it."""
    made = answers.draft(request(response_format=JSONSchema(schema)), 0)

    assert QUESTION in json.loads(text(made))["answer"]


def test_a_schema_of_another_type_is_kept() -> None:
    """An array is an array, if that is all that is asked for."""
    made = answers.draft(request(response_format=JSONSchema({"type": "array"})), 0)

    assert isinstance(json.loads(text(made)), list)


def test_a_schema_that_nothing_satisfies_is_refused() -> None:
    """A `ValidationError` with the reason, not a wrong answer."""
    impossible = JSONSchema({"type": "integer", "minimum": 2, "maximum": 1})
    with pytest.raises(ValidationError, match="no multiple lies between its bounds"):
        answers.draft(request(response_format=impossible), 0)


# --- reasoning -------------------------------------------------------------------------------------------------------

EFFORT: dict[str, dict[str, Any]] = {
    "anthropic_messages": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    "gemini": {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True}}},
    "openai_chat": {"reasoning_effort": "high", "model": "deepseek-v4-pro"},
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_comes_when_it_is_asked_for(dialect: str, stream: bool) -> None:
    """Reasoning text, its tokens, and the answer after it; none without being asked."""
    fields = dict(EFFORT[dialect])
    model = fields.pop("model", MODELS[dialect])
    reply = answer(Brain(), dialect, stream=stream, model=model, **fields)

    assert QUESTION in (reply.reasoning or "")
    assert reply.usage is not None
    assert tokens.count(reply.reasoning or "") == reply.usage.reasoning_tokens
    assert reply.content
    assert answer(Brain(), dialect, stream=stream).reasoning is None


@pytest.mark.parametrize("stream", [False, True])
def test_signatures_survive_in_the_native_turn(stream: bool) -> None:
    """Anthropic signs the thinking block, Gemini the last part; streamed or not, the client keeps the same turn."""
    anthropic = answer(Brain(), "anthropic_messages", stream=stream, **EFFORT["anthropic_messages"])
    gemini = answer(Brain(), "gemini", stream=stream, **EFFORT["gemini"])
    assert anthropic.native is not None
    assert gemini.native is not None

    thinking, said = anthropic.native.fields["content"]
    assert ("thinking", anthropic.reasoning, 64) == (thinking["type"], thinking["thinking"], len(thinking["signature"]))
    assert anthropic.content == said["text"]
    parts = gemini.native.fields["parts"]
    assert gemini.reasoning == parts[0]["text"]
    assert len(parts[-1]["thoughtSignature"]) == 64


@pytest.mark.parametrize("dialect", ["anthropic_messages", "gemini"])
@pytest.mark.parametrize("stream", [False, True])
def test_signed_tool_calls_travel(dialect: str, stream: bool) -> None:
    """Reasoning before a tool call: the calls are there, and the turn is kept."""
    reply = answer(
        Brain(), dialect, "use get_weather and send_mail", stream=stream, **EFFORT[dialect], **tools_of(dialect, TOOLS)
    )

    assert [call.name for call in reply.tool_calls] == ["get_weather", "send_mail"]
    assert reply.native is not None
    assert '"signature"' in json.dumps(reply.native.fields) or '"thoughtSignature"' in json.dumps(reply.native.fields)


def test_openais_own_models_count_their_reasoning_and_hide_it() -> None:
    """As the real ones do in this protocol."""
    reply = answer(Brain(), "openai_chat", model="gpt-5", reasoning_effort="high")

    assert reply.reasoning is None
    assert reply.usage is not None
    assert (reply.usage.reasoning_tokens or 0) > 20


def test_reasoning_may_use_up_the_limit() -> None:
    """Then there is no text, and the finish reason is `length`."""
    made = answers.draft(request(reasoning_effort="high", max_tokens=5), 0)

    assert (len(made.reasoning), made.text, made.finish) == (5, [], "length")


@pytest.mark.parametrize(("effort", "thinks"), [("none", False), ("minimal", True), ("unheard of", True)])
def test_any_word_for_effort_is_understood(effort: str, thinks: bool) -> None:
    """`none` is none, an unknown word is some."""
    assert thinks is bool(answers.draft(request(reasoning_effort=effort), 0).reasoning)
