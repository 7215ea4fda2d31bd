"""Routes, keys, models and refusals of the brain, in each provider's own shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multi_llm_wrapper.simulator import Brain, Plan, SimRequest, Step, models, whole
from multi_llm_wrapper.types import UserMessage
from tests.simulator.support import DIALECTS, KEYS, MODELS, QUESTION, answer, ask, body_of, decode


def reply(request: SimRequest, brain: Brain | None = None) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON body and headers of the brain's reply."""
    plan = (brain or Brain()).handle(request)
    return plan.status, json.loads(b"".join(step.data for step in plan.steps)), plan.headers


def get(path: str, headers: dict[str, str]) -> SimRequest:
    return SimRequest("GET", path, "", headers)


def error_of(dialect: str, body: Any) -> dict[str, Any]:
    """The error object, after a look at the shape around it."""
    if dialect == "anthropic_messages":
        assert {"type", "error", "request_id"} == body.keys()
        assert body["type"] == "error"
        assert {"type", "message"} == body["error"].keys()
    elif dialect == "gemini":
        assert {"error"} == body.keys()
        assert {"code", "message", "status"} <= body["error"].keys()
    else:
        assert {"error"} == body.keys()
        assert {"message", "type", "param", "code"} == body["error"].keys()
    found: dict[str, Any] = body["error"]
    return found


# --- routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("prefix", ["", "/openai", "/some/gateway/v1", "/%C3%A9"])
def test_any_prefix_may_stand_before_a_path(dialect: str, prefix: str) -> None:
    """Clients keep the path prefix of their base URL."""
    asked = ask(dialect)
    prefixed = asked._replace(path=prefix + asked.path)

    assert body_of(Brain(), asked) == body_of(Brain(), prefixed)


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/deployments/x/chat/completions?api-version=2026-01-01",
    ],
)
def test_openais_path_has_many_beginnings(path: str) -> None:
    """Hosts that leave `/v1` out, Groq's and Azure's form."""
    assert Brain().handle(ask("openai_chat")._replace(path=path).sim()).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/gemini-2.5-pro:generateContent",
        "/v1beta/models/gemini-2.5-pro%3AgenerateContent",
        "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:generateContent",
    ],
)
def test_geminis_path_has_many_forms(path: str) -> None:
    """Another version, an encoded colon, Vertex's form."""
    assert Brain().handle(ask("gemini")._replace(path=path).sim()).status == 200


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_unknown_path_is_404_in_the_shape_of_whoever_asks(dialect: str) -> None:
    """The headers tell which provider the client thinks it speaks to."""
    status, body, _ = reply(SimRequest("POST", "/v1/nothing/here", "", dict(KEYS[dialect]), b"{}"))

    assert status == 404
    assert error_of(dialect, body)["message"]


@pytest.mark.parametrize("path", ["/" * 3000, "/v1/models/" + "x" * 100_000, "/v1beta/" + "models/" * 5000])
def test_a_path_of_any_length_is_routed_at_once(path: str) -> None:
    """No expression goes back and forth over it."""
    assert Brain().handle(get(path, {})).status == 404


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "BREW"])
def test_a_wrong_method_is_405(dialect: str, method: str) -> None:
    """Questions are asked with POST, in the provider's own shape otherwise."""
    asked = ask(dialect).sim()
    status, body, _ = reply(SimRequest(method, asked.path, "", asked.headers, asked.body))

    assert status == 405
    assert method in error_of(dialect, body)["message"]


def test_models_cannot_be_posted() -> None:
    """The list of models is for GET."""
    assert reply(SimRequest("POST", "/v1/models", "", KEYS["openai_chat"]))[0] == 405


def test_health_needs_no_key() -> None:
    """`GET /health` says that the simulator is there."""
    assert reply(get("/health", {}))[:2] == (200, {"status": "ok"})


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "status"), [("openai_chat", 401), ("anthropic_messages", 401), ("gemini", 403)])
@pytest.mark.parametrize("key", [None, "", " ", "Bearer ", "Bearer"])
def test_a_request_without_a_key_is_refused(dialect: str, status: int, key: str | None) -> None:
    """In the provider's own way, also when the header is there and empty."""
    headers = {"anthropic-version": "2023-06-01"}
    if key is not None:
        headers[next(name for name in KEYS[dialect] if name != "anthropic-version")] = key
    got, body, _ = reply(ask(dialect)._replace(headers=headers).sim())

    assert status == got
    assert error_of(dialect, body)["message"]


@pytest.mark.parametrize(
    ("dialect", "path", "headers"),
    [
        ("openai_chat", "", {"authorization": "Bearer x"}),
        ("openai_chat", "", {"authorization": "bearer x"}),
        ("openai_chat", "", {"api-key": "x"}),
        ("anthropic_messages", "", {"x-api-key": "x", "anthropic-version": "2023-06-01"}),
        ("anthropic_messages", "", {"authorization": "Bearer x", "anthropic-version": "2023-06-01"}),
        ("gemini", "", {"x-goog-api-key": "x"}),
        ("gemini", "", {"authorization": "Bearer x"}),
        ("gemini", "?key=x", {}),
    ],
)
def test_any_key_will_do(dialect: str, path: str, headers: dict[str, str]) -> None:
    """Every place where a provider looks for a key is looked at."""
    asked = ask(dialect)

    assert Brain().handle(asked._replace(path=asked.path + path, headers=headers).sim()).status == 200


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "known", "unknown"),
    [
        (
            "openai_chat",
            "gpt-4o gpt-99-nano o1 o9-preview chatgpt-4o-latest llama-3.3-70b-versatile mixtral-8x7b mistral-large "
            "deepseek-v4-flash qwen3-32b openai/gpt-oss-120b meta-llama/Llama-4 grok-4 kimi-k2 glm-5",
            "claude-sonnet-5 gemini-2.5-pro this-model-does-not-exist o0 gpt4",
        ),
        ("anthropic_messages", "claude-sonnet-5 claude-3-opus-latest", "gpt-4o claude- opus"),
        ("gemini", "gemini-2.5-pro gemini-9-ultra-preview", "claude-sonnet-5 gpt-4o gemini-"),
    ],
)
def test_models_are_known_by_family(dialect: str, known: str, unknown: str) -> None:
    """All names of a provider's families exist, others are 404 in its own words."""
    for model in known.split():
        assert Brain().handle(ask(dialect, model=model).sim()).status == 200, model
    for model in unknown.split():
        status, body, _ = reply(ask(dialect, model=model).sim())
        assert status == 404, model
        assert model in error_of(dialect, body)["message"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_list_of_models_has_the_providers_shape(dialect: str) -> None:
    """All that is listed is known, and has a page of its own."""
    base = "/v1beta/models" if dialect == "gemini" else "/v1/models"
    status, body, _ = reply(get(base, KEYS[dialect]))
    listed = body["models"] if dialect == "gemini" else body["data"]
    names = [model["name"].removeprefix("models/") if dialect == "gemini" else model["id"] for model in listed]

    assert status == 200
    assert MODELS[dialect] in names
    for name, entry in zip(names, listed, strict=True):
        assert models.known(dialect, name)
        assert (200, entry) == reply(get(f"{base}/{name}", KEYS[dialect]))[:2]
    status, body, _ = reply(get(f"{base}/nobody", KEYS[dialect]))
    assert status == 404
    assert error_of(dialect, body)["message"]


def test_the_list_of_models_needs_a_key() -> None:
    """As with the real APIs."""
    assert [
        reply(get("/v1/models", {}))[0],
        reply(get("/v1/models", {"anthropic-version": "2023-06-01"}))[0],
        reply(get("/v1beta/models", {}))[0],
    ] == [401, 401, 403]


def test_a_models_name_may_have_slashes() -> None:
    """Open models are called `owner/model`."""
    status, body, _ = reply(get("/v1/models/openai/gpt-oss-120b", KEYS["openai_chat"]))

    assert (status, body["id"], body["owned_by"]) == (200, "openai/gpt-oss-120b", "openai")


# --- bad requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"model": 5}', b"[" * 5000])
def test_a_bad_body_is_400_in_the_providers_shape(dialect: str, body: bytes) -> None:
    """What is no JSON, or not the JSON of a question."""
    status, answered, _ = reply(ask(dialect)._replace(body=body).sim())

    assert status == 400
    assert error_of(dialect, answered)["message"]


def test_anthropic_wants_max_tokens_and_a_version() -> None:
    """Both are required by the real API."""
    asked = ask("anthropic_messages")
    body = {name: value for name, value in json.loads(asked.body).items() if name != "max_tokens"}
    status, answered, _ = reply(asked._replace(body=json.dumps(body).encode()).sim())
    assert (status, error_of("anthropic_messages", answered)["type"]) == (400, "invalid_request_error")
    assert "max_tokens" in answered["error"]["message"]

    status, answered, _ = reply(asked._replace(headers={"x-api-key": "k"}).sim())
    assert status == 400
    assert "anthropic-version" in answered["error"]["message"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_errors_carry_the_id_of_the_request(dialect: str) -> None:
    """In the provider's header, and in the body where it has a place for it; the journal has the same."""
    brain = Brain()
    _, body, headers = reply(ask(dialect, model="nobody").sim(), brain)
    header = {"openai_chat": "x-request-id", "anthropic_messages": "request-id"}.get(dialect)

    assert header is None or brain.journal[0].request_id == headers[header]
    assert dialect != "anthropic_messages" or brain.journal[0].request_id == body["request_id"]


def test_every_request_has_an_id_of_its_own() -> None:
    """Also when it is asked twice in the same words; a reset starts over."""
    brain = Brain()
    for _ in range(3):
        brain.handle(ask("openai_chat").sim())
    ids = [entry.request_id for entry in brain.journal]
    brain.reset()
    brain.handle(ask("openai_chat").sim())

    assert len(set(ids)) == 3
    assert ids[0] == brain.journal[0].request_id


def test_usage_in_an_openai_stream_is_sent_when_it_is_wanted() -> None:
    """Only with `stream_options.include_usage`, as the real API does it."""
    with_usage = answer(Brain(), "openai_chat", stream=True)
    without = answer(Brain(), "openai_chat", stream=True, stream_options={})

    assert with_usage.usage is not None
    assert without.usage is None
    assert with_usage.content == without.content


# --- anything at all -------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
FIELDS: dict[str, dict[str, Any]] = {
    "anthropic_messages": {
        "system": "s",
        "tools": [{"name": "get_weather", "input_schema": TOOL["parameters"]}],
        "tool_choice": {"type": "any"},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "stop_sequences": ["a"],
        "stream": True,
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [{"functionDeclarations": [TOOL]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"maxOutputTokens": 9, "responseMimeType": "application/json", "responseSchema": {}},
    },
    "openai_chat": {
        "tools": [{"type": "function", "function": TOOL}],
        "tool_choice": "required",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        "reasoning_effort": "low",
        "stop": ["a"],
        "max_tokens": 9,
        "stream": True,
    },
}


@st.composite
def bodies(draw: st.DrawFn, dialect: str) -> bytes:
    """A good body, of which some value somewhere is replaced by anything."""
    body = json.loads(ask(dialect).body)
    for name, value in FIELDS[dialect].items():
        if draw(st.booleans()):
            body[name] = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = body
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            place[key] = draw(VALUES)
            break
    return json.dumps(body).encode()


@pytest.mark.parametrize("dialect", DIALECTS)
@given(data=st.data())
@settings(max_examples=150)
def test_any_body_gets_an_answer_or_a_refusal(dialect: str, data: st.DataObject) -> None:
    """Nothing that a client can send is an exception; whatever is refused is so in the provider's shape."""
    asked = ask(dialect, stream=dialect == "gemini" and data.draw(st.booleans()))
    plan = Brain().handle(asked._replace(body=data.draw(bodies(dialect))).sim())
    sent = b"".join(step.data for step in plan.steps)

    assert plan.status in (200, 400, 404)
    if plan.status != 200:
        assert error_of(dialect, json.loads(sent))["message"]
    else:
        decode(dialect, sent, stream=plan.length is None)


@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PATCH"]),
    path=st.lists(
        st.sampled_from(["/", "v1", "v1beta", "models", "messages", "chat/completions", "%", "%2", ":x", "é"])
    ),
    query=st.text(max_size=10),
    headers=st.dictionaries(st.sampled_from(["x-api-key", "authorization", "x-goog-api-key"]), st.text(max_size=9)),
)
def test_any_request_gets_a_reply(method: str, path: list[str], query: str, headers: dict[str, str]) -> None:
    """The same for the rest of a request."""
    brain = Brain()
    plan = brain.handle(SimRequest(method, "".join(path), query, headers, b"{}"))

    assert 200 <= plan.status < 500
    assert (plan.status, 1) == (brain.journal[0].status, len(brain.journal))


# --- pace, scripts, settings -----------------------------------------------------------------------------------------


def test_steps_are_due_at_the_pace_that_was_set() -> None:
    """The first piece after `first_token`, the others at `pace`, the end with the last."""
    plan = Brain(pace=0.5, first_token=2.0).handle(ask("openai_chat", stream=True, max_tokens=4).sim())

    assert [step.delay for step in plan.steps] == [2.0, 0.5, 0.5, 0.5, 0.0]
    assert plan.delay == 0.0


def test_a_plain_answer_is_due_when_its_stream_would_have_ended() -> None:
    """All of its time passes before the head."""
    plan = Brain(pace=0.5, first_token=2.0).handle(ask("openai_chat", max_tokens=4).sim())

    assert plan.delay == 3.5


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_and_a_plain_answer_take_the_same_time(dialect: str) -> None:
    """Also where reasoning is hidden, or a call is held back to the end."""
    for question in (QUESTION, "use get_weather"):
        fields: dict[str, Any] = {}
        if dialect == "openai_chat":
            fields = {"reasoning_effort": "low", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}
        if dialect == "gemini":
            fields = {"tools": [{"functionDeclarations": [{"name": "get_weather"}]}]}
        brain = Brain(pace=0.25, first_token=1.0)
        plain = brain.handle(ask(dialect, question, **fields).sim())
        stream = brain.handle(ask(dialect, question, stream=True, **fields).sim())

        assert plain.delay == pytest.approx(sum(step.delay for step in stream.steps))
        assert plain.delay > 1.0


def test_refusals_come_at_once() -> None:
    """Whatever the pace, an error takes no time to make."""
    assert Brain(pace=1.0, first_token=1.0).handle(ask("openai_chat", model="nobody").sim()).delay == 0.0


def test_scripts_come_first_in_their_order_and_are_used_up() -> None:
    """Each as often as it says, for the requests that it is for; then healthy answers come again."""
    brain = Brain()
    gemini = brain.script(lambda request: whole(503, {}, b""), match=lambda request: "gemini" in request.path)
    twice = brain.script(lambda request: whole(500, {}, b""), times=2)
    brain.replay(418, {}, b"")
    statuses = [brain.handle(ask("openai_chat").sim()).status for _ in range(4)]

    assert statuses == [500, 500, 418, 200]
    assert (gemini.used, twice.used) == (0, 2)
    assert [brain.handle(ask("gemini").sim()).status for _ in range(2)] == [503, 200]


def test_a_script_may_last_for_ever_until_the_reset() -> None:
    """`times=None`."""
    brain = Brain()
    brain.script(lambda request: Plan(200, {}, [Step(0.0, request.body)]), times=None)
    bodies = {body_of(brain, ask("openai_chat")) for _ in range(10)}
    brain.reset()

    assert {ask("openai_chat").body} == bodies
    assert decode("openai_chat", body_of(brain, ask("openai_chat")), stream=False).content


def test_replayed_streams_keep_their_chunks_and_take_the_pace() -> None:
    """Chunk boundaries are those of the recording, the time is the brain's."""
    brain = Brain(pace=0.5, first_token=1.0)
    brain.replay(200, {"Content-Type": "text/event-stream"}, chunks=[b"a", b"", b"b"])
    plan = brain.handle(ask("openai_chat").sim())

    assert [Step(1.0, b"a"), Step(0.5, b""), Step(0.5, b"b")] == list(plan.steps)
    assert (plan.headers, plan.length) == ({"content-type": "text/event-stream"}, None)


def test_settings_count_from_the_next_request_and_are_reset() -> None:
    """Seed, pace and first token are plain attributes."""
    brain = Brain(seed=1, pace=0.1, first_token=0.2)
    before = body_of(brain, ask("openai_chat"))
    brain.seed, brain.pace, brain.first_token = 2, 0.3, 0.4
    assert before != body_of(brain, ask("openai_chat"))
    brain.reset()

    assert (brain.seed, brain.pace, brain.first_token, len(brain.journal)) == (1, 0.1, 0.2, 0)
    assert before == body_of(brain, ask("openai_chat"))


def test_base_urls_are_those_that_clients_of_a_name_take() -> None:
    """OpenAI style includes the version, Anthropic and Gemini take what stands before it."""
    brain = Brain()

    assert {
        name: brain.base_url("http://h", name)
        for name in ("openai", "openai_chat", "groq", "anthropic", "anthropic_messages", "gemini")
    } == {
        "openai": "http://h/v1",
        "openai_chat": "http://h/v1",
        "groq": "http://h/openai/v1",
        "anthropic": "http://h",
        "anthropic_messages": "http://h",
        "gemini": "http://h",
    }
    with pytest.raises(ValueError, match="cohere"):
        brain.base_url("http://h", "cohere")


def test_the_clock_is_read_for_the_journal_alone() -> None:
    """Answers do not hang on the time of day."""
    early, late = Brain(clock=lambda: 1.0), Brain(clock=lambda: 2e9)

    assert body_of(early, ask("openai_chat")) == body_of(late, ask("openai_chat"))
    assert (early.journal[0].time, late.journal[0].time) == (1.0, 2e9)
    assert UserMessage(QUESTION).content in early.journal[0].json["messages"][0]["content"]
