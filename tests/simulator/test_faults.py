"""The simulator's faults: how they are asked for, counted and put into a reply."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from typing import Any

import pytest
from msgspec import structs

from multi_llm_wrapper.errors import ConnectionError, LLMError
from multi_llm_wrapper.simulator import Brain, Plan, Simulator
from multi_llm_wrapper.simulator.faults import DIALECTS, FAULTS, Scene, make, parse
from multi_llm_wrapper.validation.cells import TOOL_QUESTION
from tests.simulator.support import MODELS, Ask, Shell, ask, read, run

SHELLS = ("memory", "http")
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def status(brain: Brain, request: Ask) -> int:
    return brain.handle(request.sim()).status


def with_fault(request: Ask, text: str) -> Ask:
    return request._replace(headers={**request.headers, "x-sim-fault": text})


def tools(dialect: str) -> list[dict[str, Any]]:
    if dialect == "anthropic_messages":
        return [{"name": name, "input_schema": TOOL} for name in ("get_weather", "get_time")]
    return [{"type": "function", "function": {"name": n, "parameters": TOOL}} for n in ("get_weather", "get_time")]


# --- asking -----------------------------------------------------------------------------------------------------


def test_a_header_asks_for_a_fault_and_says_how_often() -> None:
    """`times=2`: the first two requests get it, the third is answered; the journal tells which."""
    brain = Brain()
    request = with_fault(ask("openai_chat"), "server_error?times=2")
    assert [500, 500, 200] == [status(brain, request) for _ in range(3)]
    assert ["server_error", "server_error", None] == [entry.fault for entry in brain.journal]


def test_faults_with_a_semicolon_come_in_turn() -> None:
    """Each until it is used up, then the answer is healthy."""
    brain = Brain()
    request = with_fault(ask("openai_chat"), "server_error?times=1; unavailable?times=1;rate_limit?times=1")
    assert [500, 503, 429, 200] == [status(brain, request) for _ in range(4)]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("form", ["{}@overloaded", "fault:overloaded/{}", "{}@overloaded,times=5", "{}@overloaded?p=1"])
def test_the_name_of_a_model_asks_for_a_fault(dialect: str, form: str) -> None:
    """As a suffix and as a prefix, in each dialect; the model is then the one without it."""
    brain = Brain()
    name = form.format(MODELS[dialect])
    request = ask(dialect, model=name.replace("?", "%3F") if dialect == "gemini" else name)
    assert 529 == status(brain, request)
    assert (MODELS[dialect], "overloaded") == (brain.journal[0].model, brain.journal[0].fault)


def test_a_name_with_an_at_sign_may_be_just_a_name() -> None:
    """Google names versions with `@`; what is no fault is part of the model's name."""
    brain = Brain()
    assert 200 == status(brain, ask("anthropic_messages", model="claude-sonnet-4-5@20250929"))
    assert "claude-sonnet-4-5@20250929" == brain.journal[0].model


def test_a_question_about_a_model_asks_for_nothing() -> None:
    """Text in the messages that looks like a model with a fault is text."""
    brain = Brain()
    assert 200 == status(brain, ask("openai_chat", 'What does {"model": "gpt-4o@cut"} mean?'))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cutt", "did you mean 'cut'"),
        ("cut?j=1", "has no parameter 'j'"),
        ("cut?k=many", "'k=many' is no parameter"),
        ("cut?k=-1", "k of the fault cut is -1.0; it must be a number from 0"),
        ("cut?seed=inf", "seed of the fault cut is inf"),
        ("cut k", "is no fault"),
        ("cut?k=--", "no number"),
        ("x" * 2000, "at most"),
    ],
)
def test_a_header_that_cannot_be_understood_is_refused(text: str, words: str) -> None:
    """With 400 and the reason, in the provider's shape: a typing error must not look like a healthy provider."""
    plan = Brain().handle(with_fault(ask("openai_chat"), text).sim())
    assert 400 == plan.status
    assert words in json.loads(b"".join(step.data for step in plan.steps))["error"]["message"]


def test_python_lays_faults_for_a_model_and_for_requests_that_match() -> None:
    """Once unless told otherwise; others are answered as usual."""
    brain = Brain()
    laid = brain.fault("overloaded", model="gpt-4o", match=lambda request: b"France" in request.body)
    other = ask("openai_chat", model="gpt-4o-mini")
    elsewhere = ask("openai_chat", "What is the capital of Spain?")
    assert [200, 200, 529, 200] == [
        status(brain, r) for r in (other, elsewhere, ask("openai_chat"), ask("openai_chat"))
    ]
    assert 1 == laid.used


def test_a_probability_gives_the_same_requests_the_fault_for_the_same_seed() -> None:
    """About as many as it says; another seed, others."""

    def statuses(seed: int) -> list[int]:
        brain = Brain()
        brain.fault("server_error", times=None, probability=0.3, seed=seed)
        return [status(brain, ask("openai_chat")) for _ in range(300)]

    first = statuses(1)
    assert first == statuses(1)
    assert first != statuses(2)
    assert 60 < first.count(500) < 120


def test_a_reset_forgets_faults_and_counts() -> None:
    """A new test finds a healthy simulator."""
    brain = Brain()
    brain.fault("server_error", times=None)
    request = with_fault(ask("openai_chat"), "unavailable?times=1")
    assert [500, 500] == [status(brain, ask("openai_chat")), status(brain, request)]
    brain.reset()
    assert [200, 503, 200] == [status(brain, ask("openai_chat")), status(brain, request), status(brain, request)]


@pytest.mark.parametrize("value", ["inf", "1e300", "-1e300", "1e-300", "0"])
def test_no_number_breaks_a_fault(value: str) -> None:
    """Whatever a header says, there is a plan that can be carried out: a status, and waits that are numbers."""
    for name, fault in FAULTS.items():
        for param in fault.params:
            for dialect in DIALECTS:
                request = with_fault(ask(dialect, stream="stream" in fault.on), f"{name}?{param}={value}").sim()
                plan = Brain().handle(request)
                assert 100 <= plan.status < 600, name
                assert not any(math.isnan(wait) for wait in (plan.delay, *(s.delay for s in _taken(plan).steps))), name


def test_a_scenario_says_which_answers_fail() -> None:
    """Each answer of a sequence by itself; a name that is none is told when the scenario is read."""
    sequence = [{"fault": "unavailable"}, {"text": "Hello.", "fault": "cut?k=0"}, {"text": "Hello."}]
    brain = Brain(scenario={"replies": [{"match": {"model": "gpt-4o"}, "sequence": sequence}]})
    plans = [brain.handle(ask("openai_chat", stream=True).sim()) for _ in range(3)]
    assert [503, 200, 200] == [plan.status for plan in plans]
    assert [None, "close", None] == [list(plan.steps)[-1].cut for plan in plans]
    assert ["unavailable", "cut", None] == [entry.fault for entry in brain.journal]
    with pytest.raises(ValueError, match="did you mean 'cut'"):
        Brain(scenario={"replies": [{"fault": "cutt"}]})


def test_a_refused_request_keeps_its_refusal() -> None:
    """What the provider would not have answered anyway is not made better by a fault."""
    request = with_fault(ask("openai_chat"), "gzip")._replace(headers={"x-sim-fault": "gzip"})
    assert 401 == status(Brain(), request)


def test_the_simulator_of_the_plugin_takes_faults(simulator: Simulator) -> None:
    """`Simulator.fault` and `faults` are those of its brain."""
    simulator.fault("server_error", k=1) if "k" in FAULTS["server_error"].params else simulator.fault("server_error")
    simulator.faults(*parse("unavailable?times=1;overloaded?times=1"))
    assert [500, 503, 529, 200] == [status(simulator.brain, ask("openai_chat")) for _ in range(4)]


# --- what they do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_shows_wherever_it_applies(name: str) -> None:
    """No fault leaves a reply as it was, in any dialect or mode; and the same scene gives the same plan."""
    fault = FAULTS[name]
    for dialect, stream in itertools.product(DIALECTS, (False, True)):
        if not fault.applies(dialect, stream):
            continue
        request = (
            ask(dialect, TOOL_QUESTION, stream=stream, tools=tools(dialect))
            if fault.tools
            else ask(dialect, "What is é?", stream=stream)
        )
        healthy = Brain().handle(request.sim())
        healthy = structs.replace(healthy, steps=list(healthy.steps), entry=None)
        scene = Scene(dialect, stream, make(name).params, now=1_800_000_000.0)
        first, second = (_taken(fault.apply(structs.replace(healthy), scene)) for _ in range(2))
        assert healthy != first, (name, dialect, stream)
        assert first == second


def _taken(plan: Plan) -> Plan:
    return structs.replace(plan, steps=list(itertools.islice(plan.steps, 1000)), entry=None)


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.effect in ("refused", "passing")])
def test_a_refusal_is_in_the_words_of_its_provider(name: str) -> None:
    """Where a fault is a status, each dialect's own body comes with it, and the classes agree with the effect."""
    from multi_llm_wrapper.dialects.failures import classify

    fault = FAULTS[name]
    for dialect in fault.dialects:
        brain = Brain()
        brain.fault(name, times=None)
        plan = brain.handle(ask(dialect).sim())
        if plan.status < 400 or plan.cut is not None:
            continue
        body = b"".join(step.data for step in plan.steps)
        error = classify(plan.status, plan.headers, body, brain.journal[0].time)
        assert (fault.effect == "passing") == error.retryable, (name, dialect, error)
        if "s" in fault.params:
            assert fault.params["s"] == pytest.approx(error.retry_after, abs=1.0)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("name", "code"), [("disconnect", "disconnected"), ("reset", "disconnected"), ("connection_limit", "disconnected")]
)
def test_a_connection_broken_before_the_head_is_the_transports_error(shell: str, name: str, code: str) -> None:
    """In memory as over HTTP, and the journal knows that it was planned."""

    async def main() -> tuple[str | None, bool, int]:
        async with Shell(shell) as at:
            at.brain.fault(name)
            with pytest.raises(ConnectionError) as caught:
                await at.send(ask("openai_chat"))
            entry = at.brain.journal[0]
            return caught.value.code, entry.hung_up, entry.status

    assert (code, False, 0) == run(main())


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["cut", "reset_midway"])
def test_a_connection_broken_in_the_body_is_the_transports_error(shell: str, stream: bool, name: str) -> None:
    """What came before it was read."""

    async def main() -> str | None:
        async with Shell(shell, Brain(pace=0.001)) as at:
            at.brain.fault(name)
            reply = await at.send(ask("openai_chat", stream=stream))
            assert await reply.next_chunk()
            with pytest.raises(ConnectionError) as caught:
                await read(reply)
            return caught.value.code

    assert "broken" == run(main())


@pytest.mark.parametrize("shell", SHELLS)
def test_spoilt_compression_is_the_transports_error(shell: str) -> None:
    """And compression that is not spoilt is read."""

    async def main() -> tuple[bytes, str | None]:
        async with Shell(shell) as at:
            at.brain.fault("gzip")
            packed = await read(await at.send(ask("openai_chat", stream=True)))
            plain = await read(await at.send(ask("openai_chat", stream=True)))
            assert plain == packed
            at.brain.fault("broken_gzip", k=0)
            with pytest.raises(LLMError) as caught:
                await read(await at.send(ask("openai_chat", stream=True)))
            return packed, caught.value.code

    packed, code = run(main())
    assert (True, "bad_encoding") == (packed.endswith(b"[DONE]\n\n"), code)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_doomed_connection_takes_one_more_request_and_closes(shell: str) -> None:
    """The next request finds it closed, and is in the journal; the one after it goes through."""

    async def main() -> tuple[str | None, list[int]]:
        async with Shell(shell) as at:
            at.brain.fault("idle_close")
            await read(await at.send(ask("openai_chat")))
            with pytest.raises(ConnectionError) as caught:
                await at.send(ask("openai_chat"))
            await read(await at.send(ask("openai_chat")))
            return caught.value.code, [entry.status for entry in at.brain.journal]

    assert ("stale_connection", [200, 0, 200]) == run(main())


@pytest.mark.parametrize("shell", SHELLS)
def test_no_answer_is_silence_until_the_client_leaves(shell: str) -> None:
    """Not even a head; and the journal sees the client go."""

    async def main() -> bool:
        async with Shell(shell) as at:
            at.brain.fault("no_answer")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await at.send(ask("openai_chat"))
            await asyncio.to_thread(at.brain.journal.wait_for, lambda journal: journal[0].hung_up)
            return at.brain.journal[0].done

    assert not run(main())


def test_flapping_goes_down_and_up_by_the_clock() -> None:
    """Down for two seconds from the first request on, up for three, and again."""
    now = 100.0
    brain = Brain(clock=lambda: now)
    brain.fault("flapping", times=None, down=2, up=3)
    seen = []
    for now in (100.0, 101.9, 102.0, 104.9, 105.0):  # noqa: B007  # the clock reads it
        seen.append(status(brain, ask("openai_chat")))
    assert [503, 503, 200, 200, 503] == seen


def test_the_connection_limit_counts_replies_under_way() -> None:
    """As many as it says are answered; one more is not, until one has ended."""

    async def main() -> list[int]:
        async with Shell("memory", Brain(pace=10.0)) as at:
            at.brain.fault("connection_limit", times=None, limit=2)
            open_streams = [await at.send(ask("openai_chat", stream=True)) for _ in range(2)]
            with pytest.raises(ConnectionError):
                await at.send(ask("openai_chat", stream=True))
            open_streams[0].abort()
            await at.send(ask("openai_chat", stream=True))
            return [entry.status for entry in at.brain.journal]

    assert [200, 200, 0, 200] == run(main())
