"""Scripted answers and conversations: what fits, what is sent in each dialect, and how mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.simulator import Brain, ScenarioError
from multi_llm_wrapper.simulator.scenario_file import load, parse
from tests.simulator.support import DIALECTS, Ask, answer, ask, body_of, decode

WEATHER = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


def chat(messages: list[dict[str, Any]], **fields: Any) -> Ask:
    return ask("openai_chat", messages=messages, **fields)


def said(brain: Brain, asked: Ask) -> str:
    return decode("openai_chat", body_of(brain, asked), stream=False).content


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_text_and_calls_are_said_in_every_dialect(dialect: str, stream: bool) -> None:
    """In one piece and as a stream; ids of calls as the provider makes them."""
    brain = Brain()
    brain.script({"text": "Let me look.", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Köln"}}]})
    found = answer(brain, dialect, stream=stream)

    assert ("Let me look.", "tool_calls") == (found.content, found.finish_reason)
    (call,) = found.tool_calls
    assert ("get_weather", {"city": "Köln"}) == (call.name, json.loads(call.arguments))
    assert call.id


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_json_usage_and_finish_reason(dialect: str, stream: bool) -> None:
    """Usage that is not given is counted; the total is the sum."""
    brain = Brain()
    brain.script({"json": {"n": [1, None]}, "finish_reason": "length", "usage": {"output_tokens": 77}})
    found = answer(brain, dialect, stream=stream)

    assert {"n": [1, None]} == json.loads(found.content)
    assert "length" == found.finish_reason
    assert found.usage is not None
    assert (77, (found.usage.input_tokens or 0) + 77) == (found.usage.output_tokens, found.usage.total_tokens)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_refusal_is_the_providers_own(dialect: str, stream: bool) -> None:
    """OpenAI has a field for it, Anthropic a stop reason after the text, Gemini SAFETY and no text."""
    brain = Brain()
    brain.script({"refusal": "I will not."})
    found = answer(brain, dialect, stream=stream)

    assert "content_filter" == found.finish_reason
    assert {"openai_chat": "stop", "anthropic_messages": "refusal", "gemini": "SAFETY"}[dialect] == (
        found.provider_finish_reason
    )
    assert ("I will not." if dialect == "anthropic_messages" else "") == found.content
    assert ("I will not." if dialect == "openai_chat" else None) == found.extras.get("refusal")


@pytest.mark.parametrize("dialect", ["anthropic_messages", "openai_chat"])
def test_reasoning_is_shown_where_the_provider_shows_it(dialect: str) -> None:
    """Scripted reasoning comes beside the text, in Anthropic's form and in DeepSeek's."""
    brain = Brain()
    brain.script({"reasoning": "Hm, hm.", "text": "Yes."})
    model = "deepseek-reasoner" if dialect == "openai_chat" else None
    found = answer(brain, dialect, model=model)

    assert ("Hm, hm.", "Yes.") == (found.reasoning, found.content)


def test_headers_and_a_status_of_success_are_sent_as_they_are() -> None:
    """Beside the simulator's own; names in lower case."""
    brain = Brain()
    brain.script({"text": "Hi", "headers": {"X-Team": "blue", "x-request-id": "mine"}, "status": 201})
    plan = brain.handle(ask("openai_chat").sim())

    assert 201 == plan.status
    assert ("blue", "mine") == (plan.headers["x-team"], plan.headers["x-request-id"])


@pytest.mark.parametrize(
    ("dialect", "status", "kind"),
    [
        ("openai_chat", 503, "server_is_overloaded"),
        ("anthropic_messages", 529, "overloaded_error"),
        ("gemini", 503, "UNAVAILABLE"),
    ],
)
def test_an_error_has_the_providers_shape_and_status(dialect: str, status: int, kind: str) -> None:
    """Named by our error type; a status of its own counts before the provider's."""
    brain = Brain()
    brain.script({"error": {"type": "overloaded", "message": "Later.", "retry_after": 7}, "headers": {"x-a": "b"}})
    brain.script({"error": {"type": "overloaded"}, "status": 502})
    plan = brain.handle(ask(dialect).sim())
    body = b"".join(step.data for step in plan.steps)

    assert (status, "b") == (plan.status, plan.headers["x-a"])
    assert kind.encode() in body
    assert b"Later." in body
    assert 502 == brain.handle(ask(dialect).sim()).status


def test_a_status_with_text_is_sent_as_it_is() -> None:
    """As a proxy in front of the provider would."""
    brain = Brain()
    brain.script({"status": 502, "text": "<html>Bad gateway</html>"})
    plan = brain.handle(ask("openai_chat").sim())

    assert (502, b"<html>Bad gateway</html>") == (plan.status, b"".join(step.data for step in plan.steps))


def test_settings_alone_change_a_healthy_answer() -> None:
    """Headers without content: the simulator says what it would have said."""
    brain = Brain()
    brain.script({"headers": {"x-served-by": "a"}})

    assert said(Brain(), ask("openai_chat")) == said(brain, ask("openai_chat"))


def test_malformed_arguments_can_be_said_where_they_are_text() -> None:
    """In OpenAI's protocol; to another dialect it is told that it cannot be said."""
    brain = Brain()
    brain.script({"tool_calls": [{"name": "f", "arguments": '{"city": '}]}, times=None)
    (call,) = answer(brain, "openai_chat").tool_calls

    assert '{"city": ' == call.arguments
    for dialect, stream in (("gemini", True), ("gemini", False), ("anthropic_messages", False)):
        plan = brain.handle(ask(dialect, stream=stream).sim())
        assert (400, True) == (plan.status, b"script an object" in b"".join(step.data for step in plan.steps))


def test_a_scripted_answer_is_not_cut() -> None:
    """It stands as it was written, whatever the request's limits."""
    brain = Brain()
    brain.script("one two three four five six")

    assert "one two three four five six" == said(brain, ask("openai_chat", max_tokens=2, stop=["three"]))


def test_any_model_may_be_scripted() -> None:
    """Also one that the provider does not have."""
    brain = Brain()
    brain.script("Hi", match={"model": "mine-*"}, times=None)

    assert "Hi" == said(brain, ask("openai_chat", model="mine-7b"))
    assert 404 == brain.handle(ask("openai_chat", model="yours-7b").sim()).status


# --- when ------------------------------------------------------------------------------------------------------------


def test_replies_come_in_order_until_they_are_used_up() -> None:
    """`times`, then the next; at last the simulator's own answer."""
    brain = Brain()
    twice = brain.script("A", times=2)
    brain.script(["B", "C"], times=3)
    found = [said(brain, ask("openai_chat")) for _ in range(6)]

    assert ["A", "A", "B", "C", "C"] == found[:5]
    assert said(Brain(), ask("openai_chat")) == found[5]
    assert 2 == twice.used


USER, ASSISTANT = {"role": "user", "content": "What's the WEATHER?"}, {"role": "assistant", "content": "Where?"}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
}


@pytest.mark.parametrize(
    ("match", "fitting", "other"),
    [
        ({"model": "gpt-4o*"}, ask("openai_chat"), ask("openai_chat", model="gpt-5")),
        ({"last": "weather"}, chat([USER]), ask("openai_chat")),
        ({"last_regex": r"WEATHER\?$"}, chat([USER]), chat([{"role": "user", "content": "WEATHER? no"}])),
        ({"system": "PIRATE"}, chat([{"role": "system", "content": "a pirate"}, USER]), chat([USER])),
        ({"turn": 2}, chat([USER, ASSISTANT, USER]), chat([USER])),
        (
            {"after_tool": True},
            chat([USER, CALLED, {"role": "tool", "tool_call_id": "c", "content": "x"}]),
            chat([USER]),
        ),
        (
            {"turn": 1},
            chat([USER, CALLED, {"role": "tool", "tool_call_id": "c", "content": "x"}]),
            chat([USER, ASSISTANT, USER]),
        ),
        ({"tools": ["get_weather"]}, chat([USER], tools=WEATHER), chat([USER])),
        ({"tools": []}, chat([USER]), chat([USER], tools=WEATHER)),
        ({"dialect": "openai_chat", "stream": False}, chat([USER]), None),
        ({"model": "gpt-4o*", "last": "weather"}, chat([USER]), ask("openai_chat")),
    ],
)
def test_a_match_is_for_requests_that_fit_all_of_it(match: dict[str, Any], fitting: Ask, other: Ask | None) -> None:
    """A request that misses one condition is answered as if the scripted reply were not there."""
    brain = Brain()
    brain.script("scripted", match=match, times=None)

    assert "scripted" == said(brain, fitting)
    if other is not None:
        assert "scripted" != said(brain, other)


CONVERSATION = """
seed = 7
mode = "echo"

[default]
text = "I do not know."

[[replies]]
match = { turn = 1, after_tool = false }
tool_calls = [{ name = "get_weather", arguments = { city = "Paris" } }]

[[replies]]
match = { turn = 1 }
text = "It is sunny in Paris."

[[replies]]
match = { model = "gpt-4o-mini" }
times = 1
error = { type = "rate_limit", retry_after = 1.5 }
"""


def test_a_file_tells_a_conversation(tmp_path: Path) -> None:
    """The first reply that fits; where none does, the default."""
    (tmp_path / "talk.toml").write_text(CONVERSATION)
    brain = Brain(scenario=tmp_path / "talk.toml")
    result = {"role": "tool", "tool_call_id": "c", "content": "sunny"}
    (call,) = decode("openai_chat", body_of(brain, chat([USER])), stream=False).tool_calls

    assert 7 == brain.seed
    assert "get_weather" == call.name
    assert "It is sunny in Paris." == said(brain, chat([USER, CALLED, result]))
    assert "I do not know." == said(brain, chat([USER, ASSISTANT, USER]))
    assert 429 == brain.handle(chat([USER, ASSISTANT, USER], model="gpt-4o-mini").sim()).status
    assert "I do not know." == said(brain, chat([USER, ASSISTANT, USER], model="gpt-4o-mini"))


def test_a_reset_brings_the_scenario_back(tmp_path: Path) -> None:
    """As the simulator was made; what was scripted since is gone, what was used up is there again."""
    path = tmp_path / "s.json"
    path.write_text('{"replies": [{"text": "once", "times": 1}]}')
    brain = Brain(scenario=path)
    brain.script("also")
    before = [said(brain, ask("openai_chat")) for _ in range(2)]
    brain.reset()

    assert ["once", "also"] == before
    assert ["once", False] == [said(brain, ask("openai_chat")), said(brain, ask("openai_chat")) == "also"]


def test_a_scenario_sets_what_it_names_and_nothing_else() -> None:
    """Timing, limits and windows; another scenario takes its replies away."""
    brain = Brain(pace=1.0)
    brain.use(
        {"timing": "gap=5", "models": {"gpt-4o": {"timing": "gap=7", "max_output": 3}}, "replies": [{"text": "x"}]}
    )
    brain.use({"mode": "echo"})
    plan = brain.handle(ask("openai_chat", "a b c d e", stream=True).sim())

    assert [0.0, 0.007, 0.007, 0.0] == [step.delay for step in plan.steps]
    assert "a b c d" == answer(brain, "gemini", "a b c d").content


@pytest.mark.parametrize("dialect", DIALECTS)
def test_echo_says_the_question_and_lorem_nothing(dialect: str) -> None:
    """The same for the same seed, as every answer is."""
    lorem = answer(Brain(mode="lorem"), dialect).content

    assert "Say this, café ☕!" == answer(Brain(mode="echo"), dialect, "Say this, café ☕!").content
    assert lorem.startswith("Lorem ipsum dolor sit amet")
    assert lorem == answer(Brain(mode="lorem"), dialect, stream=True).content
    assert lorem != answer(Brain(mode="lorem", seed=5), dialect).content


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[[replies]]\nmatch = {modle = "x"}',
            "s.toml: replies[0].match: unknown field 'modle'; did you mean 'model'?",
        ),
        ("foo = 1", "s.toml: unknown field 'foo'; there are replies, default, mode,"),
        (
            '[[replies]]\ntext = "a"\n[[replies]]\ntext = 3',
            "s.toml: replies[1].text: expected str | null, got int; change",
        ),
        ('[[replies]]\ntext = "a"\njson = 1', "s.toml: replies[0]: text and json exclude each other; keep one of them"),
        ("[[replies]]\ntool_calls = [{}]", "s.toml: replies[0].tool_calls[0]: name is missing; add it"),
        ('[[replies]]\nmatch = {last_regex = "("}', "s.toml: replies[0].match: last_regex is no regular expression:"),
        ('[[replies]]\nmatch = {dialect = "openai"}', "no dialect 'openai'; there are openai_chat,"),
        ("[[replies]]\nmatch = {turn = 0}", "turn is 0; turns count from 1"),
        ('[[replies]]\nfinish_reason = "done"', "invalid enum value 'done'; write one of stop, length,"),
        ('[[replies]]\nerror = {type = "busy"}', "s.toml: replies[0].error: no error type 'busy'; there are"),
        ('[[replies]]\nerror = {type = "timeout"}\nreasoning = "x"', "an error has neither tool_calls nor reasoning"),
        ("[[replies]]\nstatus = 500", "a status of 400 or more needs error"),
        ("[[replies]]\nstatus = 99", "it must be from 200 to 599"),
        ("[[replies]]\ntimes = 0", 'times is 0; write a number from 1 on, or "always"'),
        ('[[replies]]\ntext = "a"\nsequence = [{text = "b"}]', "sequence stands in for text"),
        (
            '[[replies]]\nsequence = [{tex = "b"}]',
            "s.toml: replies[0].sequence[0]: unknown field 'tex'; did you mean 'text'",
        ),
        ('[[replies]]\nheaders = {"a b" = "c"}', "is no HTTP header"),
        ('[[replies]]\nheaders = {a = "b\\nc: d"}', "is no HTTP header"),
        ('timing = "fast"', "'fast' is no timing; Write first=300/900"),
        ('[models."gpt-*"]\nwindow = 3', "models[...]: unknown field 'window'; did you mean 'context_window'?"),
        ("[limits]\nrequests_per_minute = 0", "s.toml: limits: requests_per_minute is 0; it must be at least 1"),
        ("a =", "s.toml: not TOML: Invalid value (at end of document)"),
        ("replies = 3", "s.toml: replies: expected array, got int; change the value"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_its_remedy(text: str, told: str) -> None:
    """File and field, what is wrong there, and where possible what to write instead."""
    with pytest.raises(ScenarioError) as caught:
        parse(text.encode(), json=False, where="s.toml")

    assert told in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_told() -> None:
    """These, and JSON that is nested too deeply, are mistakes of a scenario like any other."""
    with pytest.raises(ScenarioError, match=r"nowhere\.toml: cannot be read \(No such file"):
        load("nowhere.toml")
    with pytest.raises(ScenarioError, match="not TOML"):
        parse(b"\xff\xfe", json=False)
    with pytest.raises(ScenarioError, match="not JSON"):
        parse(b"[" * 100_000, json=True)


def test_a_scenario_with_a_mistake_changes_nothing() -> None:
    """What was scripted before is still served."""
    brain = Brain()
    brain.script("kept", times=None)
    with pytest.raises(ScenarioError):
        brain.use({"replies": [{"txt": "x"}]})
    with pytest.raises(ScenarioError, match="script: unknown field 'txt'"):
        brain.script({"txt": "x"})

    assert "kept" == said(brain, ask("openai_chat"))


NAMES = ["replies", "match", "text", "json", "times", "models", "limits", "usage", "sequence", "tool_calls", "x"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_anything_is_a_scenario_or_a_mistake(value: Any) -> None:
    """No other exception, and the text begins with where it is."""
    try:
        parse(json.dumps(value).encode(), json=True)
        text = "scenario: "
    except ScenarioError as error:
        text = str(error)

    assert text.startswith("scenario: ")
