"""Several places behind one name, circuit breakers, and how many requests are under way at each."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from multi_llm_wrapper import Deployment, LLMWrapper, OpenAIConfig, Response, WrapperConfig
from multi_llm_wrapper.policies import gate
from tests.scripted import CUT, SILENT, Act, Stage, ok, status

TWO = {"a/m": ["b/m"]}
KEYS = ("sk-a-0123456789", "sk-b-0123456789")


def behind(stage: Stage, *hosts: str, **weights: float) -> dict[str, Any]:
    """The hosts as deployments behind the name `m`."""
    places = [Deployment(provider=host, model=f"m-{host}", weight=weights.get(host, 1.0)) for host in hosts]
    return {"deployments": {"m": places}}


def ask(stage: Stage, calls: int, config: WrapperConfig, pause: float = 1.0, **options: Any) -> list[Response]:
    async def play(llm: LLMWrapper) -> list[Response]:
        llm.random = random.Random(1)
        found = []
        for _ in range(calls):
            found.append(await llm.query("Hello?", "m", **options))
            await asyncio.sleep(pause)
        return found

    return stage.run(config, play)


# --- which one --------------------------------------------------------------------------------------------------


def test_weighted_deployments_share_the_calls() -> None:
    """In proportion; each is asked for its own model."""
    stage = Stage(a=ok(), b=ok())
    found = ask(stage, 400, stage.config(**behind(stage, "a", "b", a=3.0)))

    assert {"success"} == {response.status for response in found}
    assert 0.75 == pytest.approx(Counter(stage.order)["a"] / 400, abs=0.07)
    assert {("a", "m-a"), ("b", "m-b")} == {(asked.host, asked.json["model"]) for asked in stage.asked}


def test_the_least_busy_is_asked() -> None:
    """Ten at once over two places are five each."""
    stage = Stage(a=ok(delay=5), b=ok(delay=5))
    config = stage.config(balance="least_busy", **behind(stage, "a", "b"))

    async def play(llm: LLMWrapper) -> None:
        await asyncio.gather(*(llm.query("Hello?", "m") for _ in range(10)))

    stage.run(config, play)
    assert {"a": 5, "b": 5} == Counter(stage.order)


def test_the_faster_one_gets_more() -> None:
    """Each is tried once, then the draw of two decides; the slow one is still looked at now and then."""
    stage = Stage(a=ok(delay=3), b=ok(delay=0.1))
    ask(stage, 200, stage.config(balance="latency", **behind(stage, "a", "b")))
    share = Counter(stage.order)["b"] / 200

    assert {"a", "b"} == set(stage.order[:2])
    assert 0.65 < share < 0.85


def test_a_tag_sticks_to_a_deployment() -> None:
    """The same value always asks the same one; many values ask all of them."""
    stage = Stage(a=ok(), b=ok(), c=ok())
    config = stage.config(sticky_by="user", **behind(stage, "a", "b", "c"))

    async def play(llm: LLMWrapper) -> dict[str, set[str | None]]:
        found: dict[str, set[str | None]] = {}
        for i in range(90):
            user = f"u{i % 30}"
            response = await llm.query("Hello?", "m", tags={"user": user})
            found.setdefault(user, set()).add(response.provider)
        return found

    found = stage.run(config, play)
    assert {1} == {len(providers) for providers in found.values()}
    assert {"a", "b", "c"} == set(stage.order)


def test_sticky_tells_keys_apart() -> None:
    """Two keys at one address are two deployments, and each gets its values."""
    stage = Stage(a=ok())
    places = [Deployment("a", "m", api_key=key) for key in KEYS]
    config = stage.config(sticky_by="user", deployments={"m": places})

    async def play(llm: LLMWrapper) -> None:
        for i in range(40):
            await llm.query("Hello?", "m", tags={"user": f"u{i}"})

    stage.run(config, play)
    assert 2 == len({asked.request.headers["authorization"] for asked in stage.asked})


# --- out for a while --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (status(401, "invalid_api_key"), 60.0), (status(403), 60.0), (status(429, "insufficient_quota"), 60.0),
        (status(429, "rate_limit_exceeded", wait=20), 20.0), (status(429, "rate_limit_exceeded", wait=900), 900.0),
    ],
)  # fmt: skip
def test_one_that_is_refused_is_out_and_the_others_answer(failure: Act, seconds: float) -> None:
    """At once, in the same call; the next calls do not try it until its time is over."""
    stage = Stage(a=failure, b=ok())
    config = stage.config(max_retries=1, **behind(stage, "a", "b", a=1e9))
    found = ask(stage, 10, config, pause=seconds / 9.5)

    assert {"success"} == {response.status for response in found}
    assert "ab" + "b" * 9 == stage.order
    assert 0.0 == pytest.approx(found[0].metadata["response_time"])
    stage.asked.clear()


def test_it_comes_back_after_its_time() -> None:
    """A minute after a 401 it is asked again, and stays when it answers."""
    stage = Stage(a=[status(401), ok()], b=ok())
    ask(stage, 4, stage.config(max_retries=1, **behind(stage, "a", "b", a=1e9)), pause=25.0)

    assert "ab" + "b" * 2 + "a" == stage.order


def test_every_deployment_is_tried_before_the_route_is_left() -> None:
    """Within the attempts that are not kept for the routes behind it."""
    stage = Stage(a=status(401), b=status(401), c=status(401), d=ok("from d"))
    for retries, asked in ((3, {"a", "b", "c", "d"}), (0, None)):
        stage.asked.clear()
        config = stage.config(max_retries=retries, fallbacks={"m": ["d/m"]}, **behind(stage, "a", "b", "c"))
        response = ask(stage, 1, config)[0]
        assert ("from d", 2 if asked is None else 4) == (response.content, len(stage.order))
        assert asked is None or asked == set(stage.order)


def test_a_refusal_that_is_no_take_out_is_not_repeated_in_the_call() -> None:
    """One that does not know the model is asked once; so is the other one."""
    stage = Stage(a=status(404, "model_not_found"), b=status(404, "model_not_found"))
    response = ask(stage, 1, stage.config(max_retries=5, **behind(stage, "a", "b")))[0]

    assert ("model_not_found", ["a", "b"]) == (response.error_type, sorted(stage.order))


def test_each_deployment_gets_its_turn() -> None:
    """None is asked twice before every one was asked once, whatever chance says."""
    for seed in range(20):
        stage = Stage(a=status(500), b=status(500), c=status(500), d=ok("from d"))
        config = stage.config(max_retries=3, **behind(stage, "a", "b", "c", "d"))

        async def play(llm: LLMWrapper, seed: int = seed) -> str | None:
            llm.random = random.Random(seed)
            return (await llm.query("Hello?", "m")).content

        assert "from d" == stage.run(config, play)
        assert len(stage.order) == len(set(stage.order))


def test_a_retry_elsewhere_does_not_wait_for_the_one_that_asked_for_it() -> None:
    """Half a minute was asked for by another deployment; back-off is kept all the same."""
    stage = Stage(a=status(429, wait=30), b=[status(500), ok("from b")])
    response = ask(stage, 1, stage.config(max_retries=2, **behind(stage, "a", "b", b=1e9)))[0]

    assert ("from b", "bab") == (response.content, stage.order)
    assert 0.0 < response.metadata["response_time"] <= 1.0


def test_retries_alternate() -> None:
    """The one that has just failed is not the next one, also when the call sets its own time."""
    for seed in range(10):
        stage = Stage(a=status(500), b=status(500), c=status(500))

        async def play(llm: LLMWrapper, seed: int = seed) -> None:
            llm.random = random.Random(seed)
            await llm.query("Hello?", "m", timeout=100.0)

        stage.run(stage.config(max_retries=4, **behind(stage, "a", "b", "c")), play)
        assert 5 == len(stage.order)
        assert all(one != other for one, other in zip(stage.order, stage.order[1:], strict=False))


def test_an_outage_moves_to_another_deployment_at_once() -> None:
    """Without back-off; when all have failed the retries have theirs."""
    stage = Stage(a=status(500), b=ok())
    found = ask(stage, 1, stage.config(max_retries=1, **behind(stage, "a", "b", a=1e9)))[0]
    assert (0.0, "ab") == (found.metadata["response_time"], stage.order)

    stage = Stage(a=SILENT, b=ok())
    found = ask(stage, 1, stage.config(max_retries=1, timeout_seconds=10.0, **behind(stage, "a", "b", a=1e9)))[0]
    assert "timeout" == found.metadata["attempts_detail"][0]["error_type"]


def test_an_interrupted_stream_restarts_on_another_deployment() -> None:
    """Which is another route as good as any."""
    stage = Stage(a=CUT, b=ok("from b"))
    config = stage.config(max_retries=1, on_interrupt="restart", **behind(stage, "a", "b", a=1e9))
    chunks, response = stage.stream(config, "m")

    assert ["text", "restart", "text", "text", "end"] == [chunk.type for chunk in chunks]
    assert ("from b", "ab") == (response.content, stage.order)


def test_when_all_are_out_one_is_asked_all_the_same() -> None:
    """There is no alternative."""
    stage = Stage(a=status(401), b=status(401))
    ask(stage, 3, stage.config(max_retries=1, **behind(stage, "a", "b")))

    assert len(stage.order) >= 4
    assert {"a", "b"} == set(stage.order)


def test_health_is_visible_and_tells_no_key() -> None:
    """One entry for each place; the key is a fingerprint."""
    stage = Stage(a=[status(401), ok()])
    config = stage.config(max_retries=1, deployments={"m": [Deployment("a", "m", api_key=key) for key in KEYS]})

    async def play(llm: LLMWrapper) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        before = llm.deployments()
        await llm.query("Hello?", "m")
        await llm.query("Hello?", "m")
        return before, llm.deployments()

    before, after = stage.run(config, play)
    assert [(True, 0), (True, 0)] == [(one["available"], one["attempts"]) for one in before]
    assert [(False, 1, "auth_error", 60.0), (True, 2, None, 0.0)] == sorted(
        (one["available"], one["attempts"], one["out_reason"], one["out_seconds"]) for one in after
    )
    assert {"a", "m", "http://a/v1", "closed"} == {
        one[name] for one in after for name in ("provider", "model", "base_url", "circuit")
    }
    assert 2 == len({one["key"] for one in after})
    assert not any(key in str(after) for key in KEYS)


@pytest.mark.parametrize(
    ("deployments", "field"),
    [
        ({"m": [Deployment("openai", "x"), Deployment("openai", "x")]}, r"deployments\['m'\]\[1\]"),
        (
            {"m": [Deployment("openai", "x", api_key=KEYS[0]), Deployment("openai", "x", api_key=KEYS[0], weight=2.0)]},
            r"deployments\['m'\]\[1\]",
        ),
        ({"m": []}, r"deployments\['m'\]"),
        ({"m": Deployment("openai", "x")}, r"deployments\['m'\]"),
        ({"m": [Deployment("opnai", "x")]}, r"deployments\['m'\]\[0\]\.provider"),
    ],
)
def test_bad_deployments_are_refused(deployments: Any, field: str) -> None:
    """Duplicates, empty lists and unknown providers, with the field named and no key told."""
    with pytest.raises(ValueError, match=rf"WrapperConfig\.{field}") as caught:
        LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=KEYS[0]), deployments=deployments))
    assert KEYS[0] not in str(caught.value)


@pytest.mark.parametrize("weight", [0, -1.0, "1", float("nan")])
def test_a_weight_that_makes_no_sense_is_refused(weight: Any) -> None:
    """It has to be greater than nothing."""
    with pytest.raises(ValueError, match=r"Deployment\.weight"):
        Deployment("openai", "x", weight=weight)


# --- the circuit ------------------------------------------------------------------------------------------------


def flapping(down: float) -> Any:
    """Answers, is down for so long from second 10 on, and answers again."""
    return lambda now: status(503) if 10 <= now < 10 + down else ok("from a")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_primary_that_is_down_for_a_minute(streamed: bool) -> None:
    """Every call is answered; the fallback serves, few probes go to the primary, and it is back within 30 s."""
    stage = Stage(a=flapping(60.0), b=ok("from b"))
    config = stage.config(fallbacks=TWO, max_retries=2)

    async def play(llm: LLMWrapper) -> list[tuple[float, str | None, str]]:
        found: list[tuple[float, str | None, str]] = []
        for _ in range(240):
            now = stage.clock.monotonic()
            if streamed:
                stream = llm.stream("Hello?", "a/m")
                _ = [chunk async for chunk in stream]
                response = stream.response
            else:
                response = await llm.query("Hello?", "a/m")
            found.append((now, response.provider, response.status))
            await asyncio.sleep(0.5)
        return found

    found = stage.run(config, play)
    assert {"success"} == {status for _, _, status in found}
    asked = [one.at for one in stage.asked if one.host == "a"]
    assert len([at for at in asked if 10 <= at < 20]) <= 20 + 10 / 5  # as many failures as there were answers before
    assert len([at for at in asked if 20 <= at < 70]) <= 50 / 5
    served = [provider for at, provider, _ in found if 20 <= at < 69]
    assert {"b"} == set(served)
    assert {"a"} == {provider for at, provider, _ in found if at >= 70 + 6}


def test_a_circuit_never_opens_without_an_alternative() -> None:
    """A provider that is alone is asked however often it failed."""
    stage = Stage(a=status(500))

    async def play(llm: LLMWrapper) -> list[dict[str, Any]]:
        for _ in range(30):
            assert "server_error" == (await llm.query("Hello?", "a/m")).error_type
        return llm.deployments()

    found = stage.run(stage.config(), play)
    assert (30, "open") == (len(stage.asked), found[0]["circuit"])


def test_a_route_that_is_out_is_asked_when_the_other_cannot_be() -> None:
    """The circuit is open, and the fallback has no tools."""
    stage = Stage(a=[status(500)] * 5 + [ok("from a")], b=ok("from b"))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

    async def play(llm: LLMWrapper) -> list[str | None]:
        for _ in range(5):
            await llm.query("Hello?", "a/gpt-4o", fallbacks=["b/o1-mini"])
        plain = await llm.query("Hello?", "a/gpt-4o", fallbacks=["b/o1-mini"])
        bound = await llm.query("Hello?", "a/gpt-4o", fallbacks=["b/o1-mini"], tools=[tool])
        return [plain.content, bound.content]

    assert ["from b", "from a"] == stage.run(stage.config(), play)


def test_of_many_calls_at_once_one_is_the_probe() -> None:
    """While it is under way the others are served by the fallback."""
    stage = Stage(a=lambda now: status(503) if now < 1 else ok("from a", delay=1), b=ok("from b"))

    async def play(llm: LLMWrapper) -> Counter[str | None]:
        for _ in range(5):
            await llm.query("Hello?", "a/m")
        await asyncio.sleep(6)
        found = await asyncio.gather(*(llm.query("Hello?", "a/m") for _ in range(20)))
        return Counter(response.provider for response in found)

    assert {"a": 1, "b": 19} == stage.run(stage.config(fallbacks=TWO), play)


def test_nothing_on_one_deployment_blocks_another() -> None:
    """The same provider with another model, or another key, is another deployment."""
    stage = Stage(a=lambda now: status(401) if now < 1 else ok(), b=ok("from b"))
    config = stage.config(fallbacks={"a/m": ["b/m"], "a/n": ["b/m"]})

    async def play(llm: LLMWrapper) -> list[str | None]:
        await llm.query("Hello?", "a/m")
        await asyncio.sleep(2)
        calls = [("a/m", None), ("a/n", None), ("a/m", "sk-another-012345")]
        return [(await llm.query("Hello?", model, api_key=key)).provider for model, key in calls]

    assert ["b", "a", "a"] == stage.run(config, play)


# --- concurrency ------------------------------------------------------------------------------------------------


def most_at_once(stage: Stage, seconds: float) -> int:
    starts = [asked.at for asked in stage.asked]
    return max(sum(start <= at < start + seconds for start in starts) for at in starts)


@pytest.mark.parametrize("streamed", [False, True])
def test_no_more_than_the_limit_are_under_way(streamed: bool) -> None:
    """Twenty calls, three at once, all answered; the time is that of seven turns."""
    stage = Stage(a=ok(delay=2))

    async def play(llm: LLMWrapper) -> list[str]:
        async def one() -> str:
            if not streamed:
                return (await llm.query("Hello?", "a/m")).status
            stream = llm.stream("Hello?", "a/m")
            _ = [chunk async for chunk in stream]
            return stream.response.status

        return await asyncio.gather(*(one() for _ in range(20)))

    assert ["success"] * 20 == stage.run(stage.config(max_concurrency=3), play)
    assert 3 == most_at_once(stage, 2.0)
    assert 12.0 == pytest.approx(stage.asked[-1].at, abs=0.01)


def test_tags_take_turns_at_the_gate() -> None:
    """A batch of fifty does not keep two of another tag waiting."""
    stage = Stage(a=ok(delay=1))

    async def play(llm: LLMWrapper) -> float:
        batch = [asyncio.create_task(llm.query("Hello?", "a/m", tags={"of": "batch"})) for _ in range(50)]
        await asyncio.sleep(0.1)
        await asyncio.gather(*(llm.query("Hello?", "a/m", tags={"of": "people"}) for _ in range(2)))
        took = stage.clock.monotonic()
        await asyncio.gather(*batch)
        return took

    assert stage.run(stage.config(max_concurrency=1), play) <= 5.01


def test_waiting_is_part_of_the_calls_time() -> None:
    """Who waits for a place longer than the call may take gets an error and has sent nothing."""
    stage = Stage(a=ok(delay=60))

    async def play(llm: LLMWrapper) -> Response:
        long = asyncio.create_task(llm.query("Hello?", "a/m"))
        await asyncio.sleep(1)
        found = await llm.query("Hello?", "a/m", timeout=5.0)
        await long
        return found

    found = stage.run(stage.config(max_concurrency=1), play)
    assert ("timeout", "queue_timeout", 0, 1) == (
        found.error_type, found.metadata["code"], found.metadata["attempts"], len(stage.asked)
    )  # fmt: skip
    assert 5.0 == pytest.approx(found.metadata["response_time"], abs=0.01)


def test_a_full_queue_is_an_error_or_the_next_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, `limit_exceeded`; with a fallback that one answers. Only those who were asked are counted."""
    stage = Stage(a=ok("from a", delay=60), b=ok("from b"))

    async def play(llm: LLMWrapper) -> tuple[Response, Response, dict[str, Any]]:
        tasks = [asyncio.create_task(llm.query("Hello?", "a/m"))]
        await asyncio.sleep(1)
        place = llm.router.target("a/m", {}).gate
        assert isinstance(place, gate.Gate)
        place.max_waiting = 1
        tasks.append(asyncio.create_task(llm.query("Hello?", "a/m")))
        await asyncio.sleep(1)
        refused = await llm.query("Hello?", "a/m")
        moved = await llm.query("Hello?", "a/m", fallbacks=["b/m"])
        stats = llm.get_usage_stats()
        await asyncio.gather(*tasks)
        return refused, moved, stats

    refused, moved, stats = stage.run(stage.config(max_concurrency=1), play)
    assert ("limit_exceeded", "queue_full", 0) == (
        refused.error_type, refused.metadata["code"], refused.metadata["attempts"]
    )  # fmt: skip
    assert ("from b", 1) == (moved.content, moved.metadata["attempts"])
    assert [0, 1] == [stats[name]["requests"] for name in "ab"]


def test_a_queue_leaves_time_for_the_other_route() -> None:
    """The wait for a place takes no more than the share of the route."""
    stage = Stage(a=ok("from a", delay=300), b=ok("from b"))

    async def play(llm: LLMWrapper) -> Response:
        long = asyncio.create_task(llm.query("Hello?", "a/m"))
        await asyncio.sleep(1)
        found = await llm.query("Hello?", "a/m", fallbacks=["b/m"], timeout=20.0)
        await long
        return found

    found = stage.run(stage.config(max_concurrency=1), play)
    assert ("from b", "ab") == (found.content, stage.order)
    assert 10.0 == pytest.approx(found.metadata["response_time"], abs=0.01)


@pytest.mark.parametrize("when", [0.5, 1.0, 1.5, 2.0, 2.5])
def test_a_cancelled_call_gives_its_place_back(when: float) -> None:
    """While it waits, while it is asked, and in between."""
    stage = Stage(a=ok(delay=1))

    async def play(llm: LLMWrapper) -> Response:
        tasks = [asyncio.create_task(llm.query("Hello?", "a/m")) for _ in range(3)]
        await asyncio.sleep(when)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return await llm.query("Hello?", "a/m", timeout=3.0)

    assert "success" == stage.run(stage.config(max_concurrency=1), play).status


def test_a_stream_that_is_left_gives_its_place_back() -> None:
    """Left half read, by `aclose()`."""
    stage = Stage(a=ok(pause=1))

    async def play(llm: LLMWrapper) -> Response:
        async with llm.stream("Hello?", "a/m") as stream:
            async for _ in stream:
                break
        return await llm.query("Hello?", "a/m", timeout=3.0)

    assert "success" == stage.run(stage.config(max_concurrency=1), play).status
