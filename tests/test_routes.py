"""The routes of a call: what moves on and what stays, within one budget of attempts and time."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multi_llm_wrapper import LLMWrapper, OpenAICompatibleConfig, OpenAIConfig, Response, Timeouts, WrapperConfig
from multi_llm_wrapper.errors import CLASSES
from multi_llm_wrapper.policies.moves import MOVES_ON
from tests.conftest import REPOSITORY
from tests.scripted import CUT, FAILURES, REFUSED, SILENT, Act, Stage, ok, status

TWO = {"a/m": ["b/m"]}
THREE = {"a/m": ["b/m", "c/m"]}


# --- what moves on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["query", "stream"])
@pytest.mark.parametrize("kind", FAILURES)
def test_each_class_moves_on_or_stays(kind: str, streamed: bool) -> None:
    """By the table; what moves on ends in the answer of the next route, what stays in its own error."""
    stage = Stage(a=FAILURES[kind], b=ok("from b"))
    config = stage.config(fallbacks=TWO)
    response = stage.stream(config)[1] if streamed else stage.query(config)
    expected = ("success", "from b", "b", "ab") if MOVES_ON[kind] else ("error", None, "a", "a")

    assert expected == (response.status, response.content, response.provider, stage.order)
    assert kind == response.metadata["attempts_detail"][0]["error_type"]
    if not MOVES_ON[kind]:
        assert kind == response.error_type


def test_the_scripted_failures_are_all_that_a_provider_can_cause() -> None:
    """The others are our own, or come in the middle of a stream."""
    ours = {"circuit_open", "limit_exceeded", "incomplete_stream", "cancelled", "unsupported_feature", "general_error"}

    assert set(CLASSES) - ours == set(FAILURES)


@pytest.mark.parametrize("kind", sorted(kind for kind, moves in MOVES_ON.items() if not moves))
@pytest.mark.parametrize("per_call", [False, True])
def test_fallback_on_adds_classes(kind: str, per_call: bool) -> None:
    """In the configuration or for one call; other classes are as they were."""
    if kind not in FAILURES:
        pytest.skip("not said by a provider")
    stage = Stage(a=FAILURES[kind], b=ok("from b"))
    if per_call:
        response = stage.query(stage.config(fallbacks=TWO), fallback_on=[kind])
    else:
        response = stage.query(stage.config(fallbacks=TWO, fallback_on=[kind]))

    assert ("from b", "ab") == (response.content, stage.order)


@pytest.mark.parametrize(
    ("model", "fallback", "moves"),
    [
        ("a/gpt-4o", "b/gpt-4.1", False),  # as large
        ("a/gpt-4o", "b/gemini-2.5-pro", True),
        ("a/gpt-4o", "b/unheard-of", False),
        ("a/unheard-of", "b/gemini-2.5-pro", False),
        ("a/gemini-2.5-pro", "b/gpt-4o", False),
    ],
)
def test_a_long_prompt_moves_to_a_larger_window_only(model: str, fallback: str, moves: bool) -> None:
    """Both windows have to be known."""
    stage = Stage(a=FAILURES["context_length_exceeded"], b=ok("from b"))
    response = stage.query(stage.config(), model, fallbacks=[fallback])

    assert ("ab" if moves else "a", "success" if moves else "error") == (stage.order, response.status)


def test_a_long_prompt_passes_smaller_windows_over() -> None:
    """The second route is no larger than the first, the third one is."""
    stage = Stage(a=FAILURES["context_length_exceeded"], b=ok(), c=ok("from c"))
    response = stage.query(stage.config(), "a/gpt-4o", fallbacks=["b/gpt-4.1", "c/gemini-2.5-pro"])

    assert ("from c", "ac") == (response.content, stage.order)


@pytest.mark.parametrize(
    ("first", "retries", "order", "seconds"),
    [
        (status(429, wait=3600), 2, "ab", 0.0),  # too long to be waited for
        (status(429, wait=61), 2, "ab", 0.0),
        ([status(429, wait=20), ok()], 2, "aa", 20.0),  # waited for in full
        (status(429, wait=20), 2, "aaab", 40.0),
        ([status(503, wait=7), ok()], 1, "aa", 7.0),
        (status(429, wait=20), 0, "ab", 0.0),  # the last attempt belongs to the other route
        (SILENT, 2, "ab", 300.0),  # half of the time, and not asked twice
        (REFUSED, 0, "ab", 0.0),
        (status(401), 2, "ab", 0.0),
        (status(404, "model_not_found"), 2, "ab", 0.0),
    ],
)
def test_whether_to_wait_to_retry_or_to_move(first: Any, retries: int, order: str, seconds: float) -> None:
    """A wait of up to a minute is kept, a longer one means the next route; a silent provider is not asked twice."""
    stage = Stage(a=first, b=ok("from b"))
    response = stage.query(stage.config(fallbacks=TWO, max_retries=retries))

    assert ("success", order) == (response.status, stage.order)
    assert seconds == pytest.approx(response.metadata["response_time"], abs=0.01)


def test_a_silent_provider_is_asked_again_where_it_is_alone() -> None:
    """Without another route a retry is all there is."""
    stage = Stage(a=[SILENT, ok("late")])
    response = stage.query(stage.config(max_retries=1, timeouts=Timeouts(attempt=5.0)))

    assert ("late", "aa") == (response.content, stage.order)


def test_a_silent_stream_leaves_time_for_the_other_routes() -> None:
    """The first token is due early enough for each route to have as much."""
    stage = Stage(a=SILENT, b=SILENT, c=ok("from c"))
    response = stage.stream(stage.config(fallbacks=THREE, timeout_seconds=30.0))[1]

    assert ("from c", "abc") == (response.content, stage.order)
    assert [0.0, 10.0, 20.0] == [pytest.approx(asked.at, abs=0.01) for asked in stage.asked]


# --- what a route is asked --------------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
SEES = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def test_a_route_that_lacks_what_is_asked_is_passed_over_unsent() -> None:
    """Before the first attempt and after a failure."""
    stage = Stage(a=status(401), b=ok(), c=ok("seen"))
    config = stage.config()
    response = stage.query(config, "a/gpt-4o", SEES, fallbacks=["b/gpt-3.5-turbo", "c/gpt-4o"])
    assert ("seen", "ac") == (response.content, stage.order)

    stage = Stage(a=ok(), b=ok("seen"))
    response = stage.query(stage.config(), "a/gpt-3.5-turbo", SEES, fallbacks=["b/gpt-4o"])
    assert ("seen", "b", 1) == (response.content, stage.order, response.metadata["attempts"])


def test_a_route_that_cannot_be_asked_changes_no_retries() -> None:
    """Its attempt is nobody's: there are as many retries as were asked for."""
    for retries in (0, 2):
        stage = Stage(a=status(500), b=ok())
        response = stage.query(stage.config(max_retries=retries), "a/gpt-4o", SEES, fallbacks=["b/gpt-3.5-turbo"])
        assert ("server_error", "a" * (1 + retries)) == (response.error_type, stage.order)


def test_where_no_route_can_do_it_nothing_is_sent() -> None:
    """The error is the first route's."""
    stage = Stage(a=ok(), b=ok())
    response = stage.query(stage.config(), "a/o1-preview", "Hello?", fallbacks=["b/claude-2", "gpt-4o"], tools=[TOOL])

    assert ("unsupported_feature", "client", 0, "") == (
        response.error_type, response.metadata["rejected_by"], response.metadata["attempts"], stage.order
    )  # fmt: skip
    assert "a" == response.provider


def test_a_fallback_drops_the_sampling_that_its_model_refuses() -> None:
    """And lists it; the first route refuses it unless told to drop, and a fallback too when told not to."""
    stage = Stage(a=status(401), b=ok())
    response = stage.query(stage.config(), "a/gpt-4o", fallbacks=["b/o1"], temperature=0.5)
    assert (["temperature"], "ab") == (response.metadata["dropped_params"], stage.order)
    assert 0.5 == stage.asked[0].json["temperature"]
    assert "temperature" not in stage.asked[1].json

    stage = Stage(a=status(401), b=ok())
    response = stage.query(stage.config(), "a/gpt-4o", fallbacks=["b/o1"], temperature=0.5, drop_unsupported=False)
    assert ("auth_error", "a") == (response.error_type, stage.order)


def test_each_route_gets_its_own_model_and_key() -> None:
    """The key of one provider is never sent to another, also when the call brings it."""
    stage = Stage(a=status(401), b=ok())
    for options in ({}, {"api_key": "sk-of-the-call"}, {"extra_headers": {"Authorization": "Bearer mine", "X-Y": "z"}}):
        stage.query(stage.config(), "a/m1", fallbacks=["b/m2"], **options)

    told = [(asked.request.headers["authorization"], asked.json["model"]) for asked in stage.asked]
    assert ("Bearer secret-a-0123456789", "m1") == told[0]
    assert [("Bearer sk-of-the-call", "m1"), ("Bearer mine", "m1")] == told[2::2]
    assert [("Bearer secret-b-0123456789", "m2")] * 3 == told[1::2]
    assert "z" == stage.asked[5].request.headers["x-y"]


def test_a_missing_key_moves_on() -> None:
    """A route without a key cannot be asked, the next one can."""
    stage = Stage(b=ok("from b"))
    response = stage.query(stage.config(), "gpt-4o", fallbacks=["b/m"])

    assert ("from b", "b") == (response.content, response.provider)


# --- budget -----------------------------------------------------------------------------------------------------

acts = st.sampled_from(
    [*FAILURES.values(), status(429, wait=30), status(503, wait=300), CUT, ok(), ok(delay=50), Act(pause=200)]
)


@settings(max_examples=150)
@given(
    hosts=st.lists(st.lists(acts, min_size=1, max_size=4), min_size=1, max_size=4),
    retries=st.integers(0, 3),
    total=st.sampled_from([5.0, 60.0, 600.0]),
    streamed=st.booleans(),
    restart=st.booleans(),
    hedged=st.booleans(),
)
def test_no_sequence_of_faults_breaks_the_budget(
    hosts: list[list[Act]], retries: int, total: float, streamed: bool, restart: bool, hedged: bool
) -> None:
    """At most one attempt, the retries and one for each fallback; never longer than the call may take."""
    stage = Stage(**dict(zip("abcd", hosts, strict=False)))
    config = stage.config(
        fallbacks={"a/m": [f"{host}/m" for host in list(stage.hosts)[1:]]} if len(hosts) > 1 else {},
        max_retries=retries,
        timeout_seconds=total,
        on_interrupt="restart" if restart else "error",
        hedge_after="auto" if hedged else None,
    )
    response = stage.stream(config)[1] if streamed else stage.query(config)

    assert len(stage.asked) == response.metadata["attempts"] == len(response.metadata["attempts_detail"])
    assert 1 <= len(stage.asked) <= 1 + retries + len(hosts) - 1
    assert response.metadata["response_time"] <= total + 0.01
    if response.status == "success":
        assert "Hello you" == response.content
        assert response.provider in {asked.host for asked in stage.asked}


MOVABLE = [act for kind, act in FAILURES.items() if MOVES_ON[kind]]


@settings(max_examples=100)
@given(
    hosts=st.lists(st.sampled_from([*MOVABLE, status(429, wait=10)]), min_size=2, max_size=4),
    retries=st.integers(0, 3),
    streamed=st.booleans(),
    total=st.sampled_from([5.0, 60.0, 600.0]),
)
def test_each_route_gets_its_turn(hosts: list[Act], retries: int, streamed: bool, total: float) -> None:
    """Whatever the routes before it do with attempts and time; the error is that of the first and names the others."""
    stage = Stage(**dict(zip("abcd", hosts, strict=False)))
    fallbacks = {"a/m": [f"{host}/m" for host in list(stage.hosts)[1:]]}
    config = stage.config(fallbacks=fallbacks, max_retries=retries, timeout_seconds=total)
    response = stage.stream(config)[1] if streamed else stage.query(config)
    first = next((kind for kind, act in FAILURES.items() if act == hosts[0]), "rate_limit")

    assert list(stage.hosts) == sorted({asked.host for asked in stage.asked})
    assert stage.order == "".join(sorted(stage.order))
    assert ("error", first, "a") == (response.status, response.error_type, response.provider)
    assert all(f"{host}/m: " in str(response.error) for host in list(stage.hosts)[1:])


# --- what is told -----------------------------------------------------------------------------------------------


def test_the_response_tells_the_whole_way() -> None:
    """Who answered, and each attempt with its provider, class, status and wait."""
    stage = Stage(a=[status(500), status(401)], b=ok("from b"))
    response = stage.query(stage.config(fallbacks=TWO, max_retries=2))
    detail = response.metadata["attempts_detail"]

    assert ("b", "m", "from b", 3) == (
        response.provider, response.model, response.content, response.metadata["attempts"]
    )  # fmt: skip
    assert [("a", "server_error", 500), ("a", "auth_error", 401), ("b", None, 200)] == [
        (one["provider"], one["error_type"], one["status_code"]) for one in detail
    ]
    assert 0 < detail[0]["wait"] <= 0.5
    assert [0.0, None] == [one["wait"] for one in detail[1:]]
    assert 3 == response.metadata["usage"]["input_tokens"]


def test_when_all_fail_the_first_ones_error_names_the_others() -> None:
    """Its class, status, provider and model; no key in it."""
    stage = Stage(
        a=status(401, message="Bad key secret-a-0123456789"),
        b=status(500),
        c=status(403, message="secret-c-0123456789"),
    )
    response = stage.query(stage.config(fallbacks=THREE))

    assert ("auth_error", "a", "m", 401, 3) == (
        response.error_type, response.provider, response.model, response.metadata["status_code"],
        response.metadata["attempts"],
    )  # fmt: skip
    assert "b/m: server_error; c/m: permission_error" in str(response.error)
    assert "0123456789" not in str(response)
    assert not response.metadata["retryable"]


def test_of_several_failures_of_the_first_route_the_last_counts() -> None:
    """It is why the route was left."""
    stage = Stage(a=[status(500), status(401)], b=status(403))
    response = stage.query(stage.config(fallbacks=TWO, max_retries=2))

    assert ("auth_error", 401, "aab") == (response.error_type, response.metadata["status_code"], stage.order)


def test_routes_that_could_not_be_asked_are_named_too() -> None:
    """A first one without a key is the error, however the others fail."""
    stage = Stage(b=status(500), c=ok())
    response = stage.query(stage.config(), "gpt-4o", SEES, fallbacks=["b/m", "c/gpt-3.5-turbo"])

    assert ("auth_error", "missing_key", "openai", 1) == (
        response.error_type, response.metadata["code"], response.provider, response.metadata["attempts"]
    )  # fmt: skip
    assert "b/m: server_error; c/gpt-3.5-turbo: unsupported_feature" in str(response.error)


def test_a_route_that_was_passed_over_is_asked_when_the_others_fail() -> None:
    """It is out, but nothing else is left; an attempt is kept for it."""
    stage = Stage(a=[status(401), ok("from a")], b=[ok("from b"), status(500)])

    async def play(llm: LLMWrapper) -> list[Response]:
        return [await llm.query("Hello?", "a/m") for _ in range(2)]

    found = stage.run(stage.config(fallbacks=TWO, max_retries=2), play)
    assert ["from b", "from a"] == [response.content for response in found]
    assert "ab" + "bbb" + "a" == stage.order


def test_usage_counts_one_request_for_each_provider_asked() -> None:
    """And one error where the last attempt failed; the time of each is its own."""
    stage = Stage(a=[status(500), status(500), ok(delay=4)], b=ok(delay=2), c=ok())

    async def play(llm: LLMWrapper) -> tuple[dict[str, Any], float, float]:
        await llm.query("Hello?", "a/m", max_retries=1)
        await llm.query("Hello?", "a/m")
        return llm.get_usage_stats(), llm.get_average_response_time("a"), llm.get_average_response_time("b")

    stats, a_time, b_time = stage.run(stage.config(fallbacks=THREE), play)
    assert {"requests": 2, "errors": 1, "tokens": 5} == {
        name: stats["a"][name] for name in ("requests", "errors", "tokens")
    }
    assert {"requests": 1, "errors": 0, "tokens": 5} == {
        name: stats["b"][name] for name in ("requests", "errors", "tokens")
    }
    assert 0 == stats["c"]["requests"]
    assert 2.0 == pytest.approx(a_time, abs=0.01)
    assert 2.0 == pytest.approx(b_time, abs=0.01)


def test_a_cancelled_call_is_no_error() -> None:
    """Of the provider that was asked when it was given up; the one that had failed before keeps its error."""
    stage = Stage(a=status(500), b=SILENT)

    async def play(llm: LLMWrapper) -> dict[str, Any]:
        task = asyncio.create_task(llm.query("Hello?", "a/m"))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return llm.get_usage_stats()

    stats = stage.run(stage.config(fallbacks=TWO), play)
    assert [(1, 1), (1, 0)] == [(stats[name]["requests"], stats[name]["errors"]) for name in "ab"]


def test_an_answer_of_a_fallback_is_not_cached_under_the_primary() -> None:
    """The next call asks the primary again; its answer is kept."""
    stage = Stage(a=[status(401), ok("from a")], b=ok("from b"))

    async def play(llm: LLMWrapper) -> list[Response]:
        found = []
        for _ in range(3):
            found.append(await llm.query("Hello?", "a/m"))
            await asyncio.sleep(100)
        return found

    found = stage.run(stage.config(fallbacks=TWO, enable_caching=True), play)
    assert ["from b", "from a", "from a"] == [response.content for response in found]


# --- interrupted streams ----------------------------------------------------------------------------------------


def test_an_interrupted_stream_is_an_error_by_default() -> None:
    """What has come is kept, and nobody else is asked."""
    stage = Stage(a=CUT, b=ok())
    chunks, response = stage.stream(stage.config(fallbacks=TWO, max_retries=2))

    assert ["text", "error"] == [chunk.type for chunk in chunks]
    assert ("incomplete_stream", "Hell", "a", "a") == (
        response.error_type, response.content, response.provider, stage.order
    )  # fmt: skip


def test_an_error_after_content_is_of_the_route_that_broke_off() -> None:
    """The content is its own; the route that had failed before is in the details."""
    stage = Stage(a=status(500), b=CUT)
    response = stage.stream(stage.config(fallbacks=TWO))[1]

    assert ("incomplete_stream", "b", "Hell") == (response.error_type, response.provider, response.content)
    assert ["server_error", "incomplete_stream"] == [one["error_type"] for one in response.metadata["attempts_detail"]]


def test_what_a_failed_attempt_reported_is_in_the_details() -> None:
    """Its usage; that of the response is the answering model's."""
    used = {"id": "x", "choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": 7, "total_tokens": 77}}
    stage = Stage(a=Act(body=msgspec.json.encode(used)), b=ok())
    response = stage.stream(stage.config(fallbacks=TWO))[1]
    failed, answered = response.metadata["attempts_detail"]

    assert (77, None, 5) == (
        failed["usage"]["total_tokens"], answered["usage"], response.metadata["usage"]["total_tokens"]
    )  # fmt: skip


def test_an_interrupted_stream_restarts_on_the_next_route() -> None:
    """A `restart` chunk says that all before it is void; the response is whole and the next route's."""
    stage = Stage(a=CUT, b=ok("from b"))
    chunks, response = stage.stream(stage.config(fallbacks=TWO, max_retries=2, on_interrupt="restart"))

    assert ["text", "restart", "text", "text", "end"] == [chunk.type for chunk in chunks]
    assert "b" == chunks[1].provider
    assert ("success", "from b", "b", "ab") == (response.status, response.content, response.provider, stage.order)


def test_an_interrupted_stream_restarts_where_it_was_without_another_route() -> None:
    """As a retry; the response is whole."""
    stage = Stage(a=[CUT, ok("again")])
    chunks, response = stage.stream(stage.config(max_retries=1), on_interrupt="restart")

    assert ["text", "restart", "text", "text", "end"] == [chunk.type for chunk in chunks]
    assert ("again", "aa") == (response.content, stage.order)


def test_nothing_restarts_after_a_tool_call() -> None:
    """A tool may have been run."""
    stage = Stage(a=Act(calls_tool=True, breaks=True), b=ok())
    chunks, response = stage.stream(stage.config(fallbacks=TWO, on_interrupt="restart"))

    assert (["tool_call", "error"], "incomplete_stream", "a") == (
        [chunk.type for chunk in chunks], response.error_type, stage.order
    )  # fmt: skip


def test_a_restart_leaves_no_negative_latency() -> None:
    """The time to the first token of the first attempt is not that of the second."""
    stage = Stage(a=[Act(breaks=True, delay=1)], b=ok(delay=3))

    async def play(llm: LLMWrapper) -> list[dict[str, Any]]:
        async for _ in llm.stream("Hello?", "a/m"):
            pass
        return llm.deployments()

    found = stage.run(stage.config(fallbacks=TWO, on_interrupt="restart"), play)
    assert {"a": None, "b": pytest.approx(3.0, abs=0.01)} == {one["provider"]: one["latency"] for one in found}


# --- bad configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fallbacks", "field"),
    [
        ({"gpt-4o": ["nobody-knows-it"]}, r"WrapperConfig\.fallbacks\['gpt-4o'\]\[0\]"),
        ({"gpt-4o": ["gpt-4.1", "nope/x"]}, r"WrapperConfig\.fallbacks\['gpt-4o'\]\[1\]"),
    ],
)
def test_a_fallback_to_an_unknown_model_is_refused(fallbacks: dict[str, list[str]], field: str) -> None:
    """When the wrapper is built, with the field named."""
    with pytest.raises(ValueError, match=field):
        LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key="sk-0123456789"), fallbacks=fallbacks))


@pytest.mark.parametrize(
    ("fallbacks", "problem"),
    [
        ({"a": ["a"]}, "leads back to itself"),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, "leads back to itself"),
        ({"a": ["b", "b"]}, "twice"),
        ({"a": []}, "list"),
        ({"a": "b"}, "list"),
        ({"a": [1]}, "list"),
        (["a"], "dict"),
    ],
)
def test_fallbacks_that_make_no_sense_are_refused(fallbacks: Any, problem: str) -> None:
    """Cycles, models named twice, and what is no list of names."""
    with pytest.raises(ValueError, match=rf"WrapperConfig\.fallbacks.*{problem}"):
        WrapperConfig(fallbacks=fallbacks)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_concurrency", 0), ("max_concurrency", -1), ("max_concurrency", 1.5), ("hedge_after", -1.0),
        ("hedge_after", 0), ("hedge_after", "soon"), ("fallback_on", ["nonsense"]), ("fallback_on", "timeout"),
        ("balance", "fair"), ("sticky_by", ""), ("on_interrupt", "retry"), ("max_retries", -1),
    ],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    """With the field named."""
    with pytest.raises(ValueError, match=rf"WrapperConfig\.{name} "):
        WrapperConfig(**{name: value})


@pytest.mark.parametrize("value", [["nobody-knows-it"], ["b/m", "nope/x"], [""], "b/m"])
def test_bad_fallbacks_of_a_call_send_nothing(value: Any) -> None:
    """They are a validation error that names the option."""
    stage = Stage(a=ok(), b=ok())
    response = stage.query(stage.config(), fallbacks=value)

    assert ("validation_error", "") == (response.error_type, stage.order)
    assert str(response.error).startswith("fallbacks")


def test_a_call_can_go_without_the_fallbacks_of_the_configuration() -> None:
    """An empty list means none."""
    stage = Stage(a=status(401), b=ok())
    response = stage.query(stage.config(fallbacks=TWO), fallbacks=[])

    assert ("auth_error", "a") == (response.error_type, stage.order)


def test_a_refusal_is_not_repeated_when_the_call_sets_a_time() -> None:
    """The same deployment is known as the same, however it is resolved."""
    stage = Stage(a=status(401))
    stage.query(stage.config(max_retries=3), timeout=50.0)

    assert "a" == stage.order


def test_the_default_model_has_fallbacks_too() -> None:
    """By its name, when no model is given."""
    stage = Stage(a=status(401), b=ok("from b"))
    config = stage.config(fallbacks=TWO, default_model="a/m")

    assert "from b" == stage.run(config, lambda llm: llm.query("Hello?")).content


def test_a_provider_can_be_added_later() -> None:
    """The table counts from the next call on."""
    stage = Stage(a=status(401), b=ok("from b"))
    config = stage.config()

    async def play(llm: LLMWrapper) -> Response:
        await llm.query("Hello?", "a/m")
        config.providers["z"] = OpenAICompatibleConfig(base_url="http://b/v1")
        config.fallbacks["a/m"] = ["z/m"]
        return await llm.query("Hello?", "a/m")

    assert ("from b", "z") == (stage.run(config, play).content, stage.run(config, play).provider)


# --- the guide --------------------------------------------------------------------------------------------------


def test_the_guide_has_the_table_as_it_is() -> None:
    """docs/routing.md: one row for each class, in the order of the table."""
    text = (REPOSITORY / "docs/routing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (yes|no)\b.*\|$", text, re.MULTILINE)

    assert [(kind, "yes" if moves else "no") for kind, moves in MOVES_ON.items()] == rows
