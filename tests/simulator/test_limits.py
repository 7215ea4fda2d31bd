"""Rate limits, windows, versions, lists of models: what real providers keep, off unless it is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.dialects import waits
from multi_llm_wrapper.simulator import Brain, Limits, Plan, SimRequest
from multi_llm_wrapper.simulator.limits import Bucket, Limiter, go_duration, rfc3339
from multi_llm_wrapper.simulator.windows import Windows
from tests.simulator.support import DIALECTS, Ask, answer, ask

START = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def json_of(plan: Plan) -> Any:
    return json.loads(b"".join(step.data for step in plan.steps))


def limited(clock: Clock, **limits: int) -> Brain:
    return Brain(limits=Limits(**limits), clock=clock)


# --- buckets ---------------------------------------------------------------------------------------------------------


@given(
    size=st.integers(1, 10_000),
    takes=st.lists(st.tuples(st.floats(0, 120), st.floats(0, 20_000)), max_size=20),
)
def test_a_bucket_gives_no_more_than_a_minutes_worth(size: int, takes: list[tuple[float, float]]) -> None:
    """Whatever is taken when: what is admitted is at most one bucket and what flowed in; a wait is long enough."""
    now, taken = 0.0, 0.0
    bucket = Bucket(size, now)
    for passed, amount in takes:
        now += passed
        wait = bucket.wait(min(amount, size), now)
        if wait == 0:
            bucket.take(min(amount, size), now)
            taken += min(amount, size)
        else:
            assert 0 == pytest.approx(Bucket.wait(bucket, min(amount, size), now + wait), abs=1e-6)
            now += wait
    assert taken <= size + now * size / 60 + 1e-3
    assert 0 <= bucket.remaining(now) <= size


def test_a_bucket_is_refilled_evenly_in_a_minute() -> None:
    """Half of it in half a minute, all of it in one, never more; debts are paid first."""
    bucket = Bucket(120, 0.0)
    bucket.take(120, 0.0)

    assert [0, 1, 60, 120, 120] == [bucket.remaining(now) for now in (0.0, 0.5, 30.0, 60.0, 600.0)]
    bucket.take(180, 600.0)
    assert (0, 30.5, 90.0) == (bucket.remaining(600.0), bucket.wait(1, 600.0), bucket.reset(600.0))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.0061, "7ms"), (1.2, "1.2s"), (60, "1m0s"), (179.56, "2m59.56s"), (0.9999, "1s")]
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    """And as the client reads them."""
    assert text == go_duration(seconds)
    assert pytest.approx(seconds, abs=0.002) == waits.parse_duration(text)


def test_moments_are_written_as_anthropic_writes_them() -> None:
    """In UTC and whole seconds, rounded up so that nobody comes back too early."""
    assert "2027-01-15T08:00:01Z" == rfc3339(START + 0.5)


def test_the_longest_unused_keys_are_forgotten() -> None:
    """Memory stays bounded by the number of keys, not of requests."""
    limiter = Limiter(Limits(requests_per_minute=1))
    for number in range(10_500):
        limiter.of(str(number), START)

    assert 10_000 == len(limiter._keys)
    assert "10499" in limiter._keys


# --- rate limits -----------------------------------------------------------------------------------------------------

HOSTS = {
    "groq": "/openai/v1/chat/completions",
    "mistral": "/mistral/v1/chat/completions",
    "openrouter": "/openrouter/api/v1/chat/completions",
    "together": "/together/v1/chat/completions",
}


def at(host: str) -> Ask:
    """A question to a dialect, or to a host that speaks OpenAI's."""
    return ask("openai_chat")._replace(path=HOSTS[host]) if host in HOSTS else ask(host)


@pytest.mark.parametrize("host", [*DIALECTS, *HOSTS])
def test_a_key_over_its_requests_gets_a_429_with_a_wait_that_helps(host: str) -> None:
    """In the provider's words; after the wait that the client reads from it, one request more is let in."""
    clock = Clock()
    brain = limited(clock, requests_per_minute=3)
    statuses = [brain.handle(at(host).sim()).status for _ in range(3)]
    plan = brain.handle(at(host).sim())
    wait = waits.retry_after(plan.headers, json_of(plan), clock.now)

    assert ([200, 200, 200], 429) == (statuses, plan.status)
    assert wait is not None
    assert 20 == pytest.approx(wait, abs=1)
    clock.now += wait
    assert [200, 429] == [brain.handle(at(host).sim()).status for _ in range(2)]


@pytest.mark.parametrize("host", [*DIALECTS, *HOSTS])
def test_headers_tell_what_is_left_as_the_provider_does(host: str) -> None:
    """Read by the client's own reader: on every reply, but by OpenRouter only on a 429, and by Gemini never."""
    clock = Clock()
    brain = limited(clock, requests_per_minute=60, tokens_per_minute=6000)
    healthy = waits.rate_limit(brain.handle(at(host).sim()).headers, clock.now)
    for _ in range(59):
        last = brain.handle(at(host).sim())
    refused = waits.rate_limit(brain.handle(at(host).sim()).headers, clock.now)

    assert last.status in (200, 429)
    if host == "gemini":
        assert (None, None) == (healthy, refused)
        return
    assert refused is not None
    assert 60 == refused.limit_requests
    if host == "openrouter":
        assert healthy is None
        return
    assert healthy is not None
    assert (60, 59) == (healthy.limit_requests, healthy.remaining_requests)
    assert 6000 == healthy.limit_tokens
    assert healthy.remaining_tokens is not None
    assert 5000 < healthy.remaining_tokens < 6000
    if host in ("openai_chat", "anthropic_messages", "groq", "together"):
        assert 1 == pytest.approx(healthy.reset_requests, abs=1)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_tokens_of_prompt_and_answer_count(dialect: str) -> None:
    """The answer's are taken when it is made; a prompt that does not fit waits for them."""
    clock = Clock()
    brain = limited(clock, tokens_per_minute=100)
    plan = brain.handle(ask(dialect).sim())
    refused = brain.handle(ask(dialect).sim())
    wait = waits.retry_after(refused.headers, json_of(refused), clock.now)

    assert (200, 429) == (plan.status, refused.status)
    assert b"oken" in b"".join(step.data for step in refused.steps)
    assert wait is not None
    clock.now += wait + 0.01
    assert 200 == brain.handle(ask(dialect).sim()).status


def test_every_key_has_its_own_limits() -> None:
    """And a request without a key, which is refused, counts for none."""
    brain = limited(Clock(), requests_per_minute=1)
    asked = ask("openai_chat")
    other = asked._replace(headers={"authorization": "Bearer other"})
    nobody = asked._replace(headers={})

    assert [401, 200, 200, 429, 429] == [brain.handle(one.sim()).status for one in (nobody, asked, other, asked, other)]


def test_openai_names_the_limit_that_was_reached() -> None:
    """Which one, how much of it was used and when to try again, in OpenAI's own words."""
    brain = limited(Clock(), requests_per_minute=1)
    brain.handle(ask("openai_chat").sim())
    error = json_of(brain.handle(ask("openai_chat").sim()))["error"]

    assert ("requests", "rate_limit_exceeded") == (error["type"], error["code"])
    assert error["message"].startswith(
        "Rate limit reached for gpt-4o in organization org-simulated on requests per min (RPM): Limit 1, Used 1, "
        "Requested 1. Please try again in 1m0s."
    )


def test_without_limits_no_header_speaks_of_any() -> None:
    """Off by default."""
    assert None is waits.rate_limit(Brain().handle(ask("openai_chat").sim()).headers)


def test_a_reset_fills_the_buckets() -> None:
    """A key that had used up its requests is served again."""
    brain = limited(Clock(), requests_per_minute=1)
    brain.handle(ask("openai_chat").sim())
    brain.reset()

    assert 200 == brain.handle(ask("openai_chat").sim()).status


# --- windows ---------------------------------------------------------------------------------------------------------

LONG = "word " * 300


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        (
            "openai_chat",
            "This model's maximum context length is 200 tokens. However, your messages resulted in 305 tokens.",
        ),
        ("anthropic_messages", "prompt is too long: 305 tokens > 200 maximum"),
        ("gemini", "The input token count (305) exceeds the maximum number of tokens allowed (200)."),
    ],
)
def test_a_prompt_longer_than_the_window_is_refused_in_the_providers_words(dialect: str, told: str) -> None:
    """A 400 with both numbers, as clients look for it."""
    plan = Brain(context_windows={"*": 200}).handle(ask(dialect, LONG).sim())

    assert 400 == plan.status
    assert json_of(plan)["error"]["message"].startswith(told)


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        ("openai_chat", "However, you requested 412 tokens (12 in the messages, 400 in the completion)."),
        (
            "anthropic_messages",
            "input length and `max_tokens` exceed context limit: 12 + 400 > 200, decrease input length",
        ),
    ],
)
def test_a_limit_that_does_not_fit_beside_the_prompt_is_refused(dialect: str, told: str) -> None:
    """The window has to hold the prompt and all that may be answered."""
    plan = Brain(context_windows={"*": 200}).handle(ask(dialect, max_tokens=400).sim())

    assert 400 == plan.status
    assert told in json_of(plan)["error"]["message"]


def test_known_windows_are_those_of_the_models() -> None:
    """Of the client's own profiles; unknown models have none."""
    windows = Windows(known=True)

    assert [(128_000, None), (200_000, None), (1_048_576, None), (None, None)] == [
        windows.limits(model) for model in ("gpt-4o", "claude-sonnet-5", "gemini-2.5-pro", "mine")
    ]
    assert 400 == Brain(context_windows=True).handle(ask("openai_chat", "word " * 130_000).sim()).status
    assert 200 == Brain().handle(ask("openai_chat", "word " * 130_000).sim()).status


@pytest.mark.parametrize(
    ("dialect", "fields", "told"),
    [
        (
            "openai_chat",
            {"max_tokens": 99},
            "max_tokens is too large: 99. This model supports at most 5 completion tokens",
        ),
        ("anthropic_messages", {"max_tokens": 99}, "max_tokens: 99 > 5, which is the maximum allowed number of output"),
        (
            "gemini",
            {"generationConfig": {"maxOutputTokens": 99}},
            "supported range is from 1 (inclusive) to 6 (exclusive)",
        ),
    ],
)
def test_more_output_than_the_model_has_is_refused(dialect: str, fields: dict[str, Any], told: str) -> None:
    """A 400 that says what the most would be, in the provider's words."""
    brain = Brain(scenario={"models": {"*": {"max_output": 5}}})
    plan = brain.handle(ask(dialect, **fields).sim())

    assert 400 == plan.status
    assert told in json_of(plan)["error"]["message"]


def test_an_answer_is_no_longer_than_the_model_can_say() -> None:
    """Without a limit in the request it ends there, with the finish reason that says so."""
    found = answer(Brain(scenario={"models": {"gpt-*": {"max_output": 5}}}), "openai_chat")

    assert found.usage is not None
    assert ("length", 5) == (found.finish_reason, found.usage.output_tokens)


# --- versions and models ---------------------------------------------------------------------------------------------


def test_anthropic_knows_its_versions() -> None:
    """The newest, too, which the official client asks for; another or none is a bad request."""
    asked = ask("anthropic_messages")

    def status(version: str) -> int:
        return Brain().handle(asked._replace(headers={**asked.headers, "anthropic-version": version}).sim()).status

    assert [200, 200, 400, 400] == [status(v) for v in ("2026-10-21", "2023-06-01", "2024-01-01", "")]


def test_azure_wants_its_version() -> None:
    """Without `api-version` in the query there is nothing at the path, as at Azure itself."""
    path = "/openai/deployments/x/chat/completions"

    assert [404, 200] == [
        Brain().handle(ask("openai_chat")._replace(path=p).sim()).status
        for p in (path, path + "?api-version=2024-10-21")
    ]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/models", "gpt-4o"),
        ("/openai/v1/models", "llama-3.3-70b-versatile"),
        ("/mistral/v1/models", "mistral-large-latest"),
        ("/openrouter/api/v1/models", "anthropic/claude-sonnet-4.5"),
        ("/together/v1/models", "deepseek-ai/DeepSeek-V3"),
    ],
)
def test_hosts_list_their_own_models(path: str, model: str) -> None:
    """And answer as each of them."""
    plan = Brain().handle(SimRequest("GET", path, "", {"authorization": "Bearer k"}))
    names = [entry["id"] for entry in json_of(plan)["data"]]

    assert model in names
    for name in names:
        asked = ask("openai_chat", model=name)
        here = asked._replace(path=path.replace("models", "chat/completions"))
        assert [200, 200] == [Brain().handle(request.sim()).status for request in (here, asked)], name
