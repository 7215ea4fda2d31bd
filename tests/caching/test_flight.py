"""Single-flight: who asks the same at the same time shares one request, and nobody suffers from the others."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, Response, Timeouts, WrapperConfig
from multi_llm_wrapper.caching.flight import Flight
from multi_llm_wrapper.errors import RateLimitError
from multi_llm_wrapper.testing import CompletionDouble, VirtualClock
from tests.servers import HANG, LAST_CHUNK, RawServer, begun, completion, config, error_body, serve, whole

pytestmark = pytest.mark.asyncio

KEY = "sk-test-0123456789"


def llm_with(**settings: Any) -> LLMWrapper:
    return LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=KEY), **settings))


def cached(server: RawServer, **settings: Any) -> LLMWrapper:
    return LLMWrapper(config(server, enable_caching=True, **settings))


async def query(llm: LLMWrapper, **options: Any) -> Response:
    response: Response = await llm.query("Hello", "gpt-4o", **options)
    return response


def asked(llm: LLMWrapper, number: int, **options: Any) -> list[asyncio.Task[Response]]:
    return [asyncio.create_task(query(llm, **options)) for _ in range(number)]


class Gate:
    """Lets the double answer when a test says so."""

    def __init__(self, double: CompletionDouble, result: Any = None) -> None:
        self.open = asyncio.Event()
        self.under_way = 0
        self.cancelled = 0
        self.result = completion() if result is None else result
        double.side_effect = self.answer

    async def answer(self, **request: Any) -> Any:
        self.under_way += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    async def entered(self) -> None:
        async with asyncio.timeout(5):
            while not self.under_way:  # noqa: ASYNC110  # the double tells nobody
                await asyncio.sleep(0)


# --- answers ----------------------------------------------------------------------------------------------------


async def test_those_who_ask_at_once_share_one_request() -> None:
    """Over the wire there is one. One response is of the request itself, the others are marked as cached and count as
    hits: added up, requests, tokens and cost are what the provider was asked for."""
    async with serve([0.05, *whole(completion())]) as server, cached(server) as llm:
        responses = await asyncio.gather(*asked(llm, 20))
        assert 1 == len(server.requests)
        stats = llm.get_usage_stats()["openai"]
        assert (1, 19, 5) == (stats["requests"], stats["cache_hits"], stats["tokens"])
        assert (1, 19) == (llm._cache.stats()["misses"], llm._cache.stats()["shared"])

    assert {"Hello you"} == {response.content for response in responses}
    first, *others = sorted(responses, key=lambda response: response.metadata["cached"])
    assert (False, 1) == (first.metadata["cached"], first.metadata["attempts"])
    assert "cache_age" not in first.metadata
    for other in others:
        assert (True, 0, []) == tuple(other.metadata[name] for name in ("cached", "attempts", "attempts_detail"))
        assert 0 <= other.metadata["cache_age"] < 5
        assert other.metadata["response_time"] > 0


async def test_everybody_has_a_copy_of_his_own(mock_completion: CompletionDouble) -> None:
    """Also of the parts that only the provider knows."""
    gate = Gate(mock_completion, completion(extra={"list": [1]}))
    tasks = asked(llm_with(), 5)
    gate.open.set()
    responses = await asyncio.gather(*tasks)
    for response in responses:
        assert [1] == response.metadata["provider_data"]["extra"]["list"]
        response.metadata["provider_data"]["extra"]["list"].append(2)
        response.metadata["usage"]["total_tokens"] = 99
        response["content"] = "changed"


@pytest.mark.parametrize("odd", [{"finish": "content_filter"}, {"fingerprint": 2**70}], ids=str)
async def test_an_answer_that_is_not_kept_is_shared_all_the_same(
    mock_completion: CompletionDouble, odd: dict[str, Any]
) -> None:
    """With those who wait, and nobody else."""
    gate = Gate(mock_completion, completion(extra={"list": [1]}, **odd))
    llm = llm_with()
    tasks = asked(llm, 5)
    gate.open.set()
    responses = await asyncio.gather(*tasks)
    assert [False, True, True, True, True] == [response.metadata["cached"] for response in responses]
    for response in responses:
        assert [1] == response.metadata["provider_data"]["extra"]["list"]
        response.metadata["provider_data"]["extra"]["list"].append(2)
    assert not (await query(llm)).metadata["cached"]
    assert 2 == mock_completion.call_count


async def test_each_reads_the_answer_in_his_own_way(mock_completion: CompletionDouble) -> None:
    """What `response_format` names is an instance of each caller's own."""
    gate = Gate(mock_completion, completion('{"a": 1}'))

    class Answer:
        def __init__(self, a: int) -> None:
            self.a = a

        @staticmethod
        def model_json_schema() -> dict[str, Any]:
            return {"type": "object"}

    tasks = asked(llm_with(), 3, response_format=Answer)
    gate.open.set()
    parsed = [response.parsed for response in await asyncio.gather(*tasks)]
    assert ([1, 1, 1], 3) == ([one.a for one in parsed], len(set(map(id, parsed))))


async def test_different_questions_do_not_wait_for_each_other(mock_completion: CompletionDouble) -> None:
    """Neither do calls that would go on differently, nor those that want no cache, nor one that wants it renewed."""
    gate = Gate(mock_completion)
    llm = llm_with()
    kinds: list[dict[str, Any]] = [
        {},
        {"temperature": 0.5},
        {"timeout": 60.0},
        {"timeouts": Timeouts(attempt=30.0)},
        {"max_retries": 0},
        {"fallbacks": ["gpt-4o-mini"]},
        {"cache": "refresh"},
        {"api_key": "sk-of-another-tenant"},
    ]
    tasks = [task for kind in kinds for task in asked(llm, 3, **kind)] + asked(llm, 3, cache=False)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(kinds) + 3 == gate.under_way
    gate.open.set()
    assert {"success"} == {response.status for response in await asyncio.gather(*tasks)}


async def test_nobody_waits_for_a_flight_of_another_loop(mock_completion: CompletionDouble) -> None:
    """One that a closed loop left behind would never land."""
    llm = llm_with()
    gate = Gate(mock_completion)

    def in_another_loop() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(query(llm))
        for _ in range(5):
            loop.run_until_complete(asyncio.sleep(0))
        stuck = [task, *asyncio.all_tasks(loop)]
        for one in stuck:
            one._log_destroy_pending = False  # type: ignore[attr-defined]
        leftovers.extend(stuck)
        loop.close()

    leftovers: list[Any] = []
    await asyncio.to_thread(in_another_loop)
    mock_completion.side_effect = None
    async with asyncio.timeout(5):
        assert "success" == (await query(llm)).status
    assert gate.under_way


# --- errors -----------------------------------------------------------------------------------------------------


async def test_an_error_is_shared_with_those_who_wait_and_nobody_else() -> None:
    """One request, one error in the counts; each has a copy that speaks of his own call. The next call asks anew."""
    bad = whole(error_body("No such luck"), 400, {"x-request-id": "req_1"})
    async with serve([0.05, *bad], whole(completion())) as server, cached(server) as llm:
        responses = await asyncio.gather(*asked(llm, 5))
        assert [("error", "validation_error")] * 5 == [(r.status, r.error_type) for r in responses]
        assert 1 == len(server.requests)
        stats = llm.get_usage_stats()["openai"]
        assert (1, 1, 0) == (stats["requests"], stats["errors"], stats["cache_hits"])
        assert {"req_1"} == {response.metadata["request_id"] for response in responses}
        assert [0, 0, 0, 0, 1] == sorted(response.metadata["attempts"] for response in responses)
        assert [False] * 5 == [response.metadata["cached"] for response in responses]
        for response in responses:
            assert "No such luck" in (response.error or "")
            response["error"] = "changed"
        assert "success" == (await query(llm)).status


async def test_retries_are_those_of_one_call(mock_completion: CompletionDouble) -> None:
    """A crowd does not make more of them."""
    mock_completion.side_effect = ConnectionError("down")
    responses = await asyncio.gather(*asked(llm_with(max_retries=2), 20))
    assert {"connection_error"} == {response.error_type for response in responses}
    assert 3 == mock_completion.call_count


async def test_each_decides_whether_an_error_is_raised(mock_completion: CompletionDouble) -> None:
    """With his own response in the exception."""
    gate = Gate(mock_completion, RateLimitError("slow down", retry_after=1000))
    llm = llm_with()
    quiet, loud = asked(llm, 2), asked(llm, 2, raise_on_error=True)
    await gate.entered()
    gate.open.set()
    assert ["rate_limit"] * 2 == [response.error_type for response in await asyncio.gather(*quiet)]
    raised = await asyncio.gather(*loud, return_exceptions=True)
    assert [RateLimitError] * 2 == [type(error) for error in raised]
    assert raised[0].response is not raised[1].response  # type: ignore[union-attr]
    assert 1 == mock_completion.call_count


async def test_a_mistake_of_ours_is_an_error_of_all(
    mock_completion: CompletionDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in the work, nobody waits for ever and nothing escapes."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    llm = llm_with()
    monkeypatch.setattr(llm._cache, "_finish", broken)
    async with asyncio.timeout(5):
        responses = await asyncio.gather(*asked(llm, 3))
    assert ["general_error"] * 3 == [response.error_type for response in responses]
    assert {} == llm._cache._flights


# --- leaving ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaver", [0, 1, 4])
async def test_one_who_leaves_does_not_disturb_the_others(mock_completion: CompletionDouble, leaver: int) -> None:
    """Also the one who asked first."""
    gate = Gate(mock_completion)
    llm = llm_with()
    tasks = asked(llm, 5)
    await gate.entered()
    tasks[leaver].cancel()
    await asyncio.wait([tasks[leaver]])
    gate.open.set()
    others = await asyncio.gather(*(task for task in tasks if task is not tasks[leaver]))
    assert (["Hello you"] * 4, 1, 0) == ([r.content for r in others], mock_completion.call_count, gate.cancelled)
    stats = llm.get_usage_stats()["openai"]
    assert (1, 5, 0) == (stats["requests"], stats["tokens"], stats["errors"])
    assert (await query(llm)).metadata["cached"]


async def test_the_last_to_leave_ends_the_request() -> None:
    """The connection is closed when his call is over; whoever comes then asks anew."""
    async with serve([*begun(), HANG], whole(completion())) as server, cached(server) as llm:
        tasks = asked(llm, 3)
        await server.asked()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [asyncio.CancelledError] * 3 == [type(result) for result in results]
        await server.left()
        stats = llm.get_usage_stats()["openai"]
        assert (1, 0) == (stats["requests"], stats["errors"])
        assert ({}, set()) == (llm._cache._flights, llm._cache._running)
        assert "success" == (await query(llm)).status
        assert 2 == len(server.requests)


async def test_when_the_last_has_left_all_is_over(mock_completion: CompletionDouble) -> None:
    """His call does not return before: the request has ended, however long that takes, and no task is left."""
    ended: list[str] = []
    under_way = asyncio.Event()

    async def slow_to_end(**request: Any) -> Any:
        under_way.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            ended.append("closed")

    mock_completion.side_effect = slow_to_end
    llm = llm_with()
    before = asyncio.all_tasks()
    (task,) = asked(llm, 1)
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (["closed"], 1) == (ended, llm.get_usage_stats()["openai"]["requests"])
    assert before == {one for one in asyncio.all_tasks() if not one.done()}


async def test_one_who_comes_while_the_last_leaves_asks_anew(mock_completion: CompletionDouble) -> None:
    """In the very turn: he does not join a request that is being given up."""
    gate = Gate(mock_completion)
    llm = llm_with()
    (first,) = asked(llm, 1)
    await gate.entered()
    first.cancel()
    await asyncio.sleep(0)
    (second,) = asked(llm, 1)
    gate.open.set()
    assert "success" == (await second).status
    assert (2, 1) == (mock_completion.call_count, gate.cancelled)


async def test_a_time_limit_is_that_of_each_caller(mock_completion: CompletionDouble) -> None:
    """`asyncio.timeout` around one of two ends that one."""
    gate = Gate(mock_completion)
    llm = llm_with()
    (patient,) = asked(llm, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await query(llm)
    gate.open.set()
    assert "success" == (await patient).status


# --- time -------------------------------------------------------------------------------------------------------


async def test_one_who_joined_late_has_his_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first gives up when his time is over; the second, who came later, asks again for as long as he has left."""
    clock = VirtualClock()
    calls: list[float] = []

    async def slow(**request: Any) -> Any:
        calls.append(clock.monotonic())
        await asyncio.sleep(100.0 if len(calls) == 1 else 5.0)
        return completion()

    async def scenario() -> None:
        llm = LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=KEY), timeout_seconds=10.0), clock=clock)
        (first,) = asked(llm, 1)
        await asyncio.sleep(6.0)
        late = asked(llm, 3)
        assert ["timeout"] == [(await first).error_type]
        assert ["success"] * 3 == [response.status for response in await asyncio.gather(*late)]
        assert [0.0, 10.0] == [pytest.approx(began) for began in calls]
        assert clock.monotonic() == pytest.approx(15.0)

    monkeypatch.setattr(LLMWrapper, "completion", staticmethod(slow))
    await asyncio.to_thread(clock.run, scenario())


async def test_a_loop_over_hits_lets_others_have_their_turn(mock_completion: CompletionDouble) -> None:
    """A hit in memory waits for nothing, but a thousand of them do not stop the loop."""
    llm = llm_with()
    await query(llm)
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    heart = asyncio.create_task(beat())
    for _ in range(1000):
        await query(llm)
    heart.cancel()
    assert turns >= 9


# --- the flight itself ------------------------------------------------------------------------------------------


async def test_those_who_come_while_it_is_written_down_are_served() -> None:
    """The outcome is there, although the work goes on; nobody is kept waiting, nor the work kept from its end."""
    flight: Flight[str] = Flight(0.0)
    written, closed = asyncio.Event(), 0

    def close() -> None:
        nonlocal closed
        closed += 1

    async def work() -> None:
        flight.settle("own", lambda: "other", late="late")
        await written.wait()

    flight.start(work(), close)
    assert "own" == await flight.wait()
    assert (["late"] * 3, 0) == ([await flight.wait() for _ in range(3)], closed)
    written.set()
    await flight.task
    assert closed >= 1


async def test_one_who_asks_again_and_again_does_not_keep_the_work_from_its_end() -> None:
    """Each wait lets the work go on, even when the outcome is there already."""
    flight: Flight[str] = Flight(0.0)

    async def work() -> None:
        flight.settle("own", lambda: "other", late="late")
        for _ in range(10):
            await asyncio.sleep(0)

    flight.start(work(), lambda: None)
    for _ in range(20):
        await flight.wait()
    assert flight.task.done()


async def test_nobody_waits_for_what_is_written_down(
    mock_completion: CompletionDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The answer is there for him who asked and for those who come meanwhile; afterwards it is in the store."""
    written = asyncio.Event()
    llm = llm_with(cache=f"sqlite:///{tmp_path}/c.db?timeout=5")
    assert llm._cache._guard is not None
    put = llm._cache._guard.put

    async def slow(*entry: Any) -> None:
        await written.wait()
        await put(*entry)

    monkeypatch.setattr(llm._cache._guard, "put", slow)
    responses = [await query(llm) for _ in range(3)]
    assert [False, True, True] == [response.metadata["cached"] for response in responses]
    written.set()
    await llm.aclose()
    assert (await query(llm)).metadata["cached"]
    assert (1, 2) == (llm._cache.stats()["hits"], llm._cache.stats()["shared"])
    await llm.aclose()


async def test_a_flight_that_fails_tells_the_loop_when_nobody_waits() -> None:
    """After its outcome, for instance: else nobody would ever know."""
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    flight: Flight[str] = Flight(0.0)

    async def work() -> None:
        flight.settle("own", lambda: "other")
        raise RuntimeError("afterwards")

    flight.start(work(), lambda: None)
    assert "own" == await flight.wait()
    await asyncio.wait([flight.task])
    await asyncio.sleep(0)
    assert ["afterwards"] == [str(context["exception"]) for context in said]


async def test_aclose_leaves_calls_under_way_alone() -> None:
    """As it does without a cache: the connection is closed, and the call says so."""
    async with serve([*begun(b"{"), 0.02, LAST_CHUNK]) as server:
        llm = cached(server)
        (task,) = asked(llm, 1)
        await server.asked()
        await llm.aclose()
        assert "error" == (await task).status


async def test_a_call_leaves_nothing_for_the_garbage_collector(mock_completion: CompletionDouble) -> None:
    """Hit or miss, streamed or not: what a call made is gone when it is over."""
    llm = llm_with()

    async def calls() -> None:
        for _ in range(10):
            await query(llm, cache="refresh")
            await query(llm)
            for wanted in ("refresh", True):
                async for _ in llm.stream("Hello", "gpt-4o", cache=wanted):
                    pass
        await asyncio.sleep(0)

    await calls()
    gc.collect()
    gc.disable()
    try:
        await calls()
        assert 0 == gc.collect()
    finally:
        gc.enable()
