"""A second route when the first token is late: the first to deliver is kept, the other one is closed at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multi_llm_wrapper import LLMWrapper, OpenAICompatibleConfig, Response, WrapperConfig
from tests.scripted import CUT, FAILURES, SILENT, Act, Stage, ok, status
from tests.servers import HANG, HELLO, PROMPTLY, delta, open_sockets, serve, sockets_fall_to, sse
from tests.servers import begun as begin_stream
from tests.servers import stream as whole_stream

TWO = {"a/m": ["b/m"]}


def hedged(stage: Stage, after: Any = 2.0, **settings: Any) -> WrapperConfig:
    return stage.config(**{"fallbacks": TWO, "hedge_after": after, **settings})


def test_a_late_first_token_starts_the_next_route() -> None:
    """Two seconds after the first; the hedge answers, and the first is closed in the same moment."""
    stage = Stage(a=ok("from a", pause=100), b=ok("from b", pause=1))

    async def play(llm: LLMWrapper) -> tuple[Response, tuple[int, int], dict[str, Any]]:
        stream = llm.stream("Hello?", "a/m")
        _ = [chunk async for chunk in stream]
        return stream.response, (llm.hedges.sent, llm.hedges.won), llm.get_usage_stats()

    response, counted, stats = stage.run(hedged(stage), play)
    assert ("success", "from b", "b", 2) == (
        response.status, response.content, response.provider, response.metadata["attempts"]
    )  # fmt: skip
    assert [("a", 0.0, 3.0), ("b", 2.0, None)] == [
        (asked.host, asked.at, asked.closed if asked.closed is None else round(asked.closed, 3))
        for asked in stage.asked
    ]
    assert (1, 1) == counted
    assert 3.0 == pytest.approx(response.metadata["time_to_first_token"])
    assert [(1, 0), (1, 0)] == [(stats[name]["requests"], stats[name]["errors"]) for name in "ab"]


def test_the_first_may_still_win() -> None:
    """It delivers while the hedge is under way: that one is closed, and counted as sent."""
    stage = Stage(a=ok("from a", pause=3), b=ok("from b", pause=50))
    config = hedged(stage)

    async def play(llm: LLMWrapper) -> tuple[Response, tuple[int, int]]:
        stream = llm.stream("Hello?", "a/m")
        _ = [chunk async for chunk in stream]
        return stream.response, (llm.hedges.sent, llm.hedges.won)

    response, counted = stage.run(config, play)
    assert ("from a", "a", "ab", (1, 0)) == (response.content, response.provider, stage.order, counted)
    assert 3.0 == pytest.approx(stage.asked[1].closed or 0.0)


def test_of_two_that_deliver_in_the_same_moment_one_is_kept() -> None:
    """The other one is closed although it has begun."""
    stage = Stage(a=ok("from", pause=3), b=ok("from", pause=1))
    response = stage.stream(hedged(stage))[1]

    assert ("success", "from", 2) == (response.status, response.content, response.metadata["attempts"])
    assert [False, True] == sorted(asked.closed is not None for asked in stage.asked)


def test_a_transport_that_is_slow_to_cancel_delays_nobody() -> None:
    """The winner is delivered a tenth of a second later at most; the reply that comes then is closed."""
    stage = Stage(a=Act(silent=True, stubborn=5), b=ok("from b", pause=1))

    async def play(llm: LLMWrapper) -> tuple[Response, float]:
        stream = llm.stream("Hello?", "a/m")
        _ = [chunk async for chunk in stream]
        delivered = stage.clock.monotonic()
        await asyncio.sleep(10)
        return stream.response, delivered

    response, delivered = stage.run(hedged(stage), play)
    assert ("from b", "b") == (response.content, response.provider)
    assert delivered <= 3.11
    assert 8.0 == pytest.approx(stage.asked[0].closed or 0.0)


def test_a_cancellation_while_the_loser_is_closed_is_not_lost() -> None:
    """The caller is cancelled, and what the loser still opens is closed."""
    stage = Stage(a=Act(silent=True, stubborn=5), b=ok("from b", pause=1))

    async def play(llm: LLMWrapper) -> None:
        task = asyncio.create_task(anext(llm.stream("Hello?", "a/m")))
        await asyncio.sleep(3.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(10)

    stage.run(hedged(stage), play)
    assert 8.0 == pytest.approx(stage.asked[0].closed or 0.0)


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("a/gpt-4o", {"hedge_after": "auto"}, 10.0),
        ("a/o3", {"hedge_after": "auto"}, 60.0),
        ("a/claude-opus-4-8", {"hedge_after": "auto"}, 60.0),
        ("a/gpt-4o", {"hedge_after": 3.5}, 3.5),
        ("a/gpt-4o", {"hedge_after": None}, None),
        ("a/gpt-4o", {"hedge_after": "auto", "fallbacks": []}, None),
    ],
)
def test_when_a_first_token_is_late(model: str, settings: dict[str, Any], expected: float | None) -> None:
    """Ten seconds, a minute for those that think first, never without another route, never with None."""
    stage = Stage(a=ok(delay=100), b=ok("from b"))
    options = {"fallbacks": ["b/m"], **settings}
    stage.stream(stage.config(), model, **options)

    assert ([0.0] if expected is None else [0.0, expected]) == [pytest.approx(asked.at) for asked in stage.asked]


def test_it_is_on_by_default_where_there_is_another_route() -> None:
    """The setting's default is "auto"."""
    stage = Stage(a=ok(delay=100), b=ok("from b"))
    config = WrapperConfig(providers=stage.config().providers, fallbacks=TWO, enable_caching=False)

    assert "from b" == stage.stream(config)[1].content
    assert 10.0 == pytest.approx(stage.asked[1].at)


def test_a_query_is_not_hedged() -> None:
    """Only streams have a first token."""
    stage = Stage(a=ok("from a", delay=100), b=ok("from b"))

    assert ("from a", "a") == (stage.query(hedged(stage)).content, stage.order)


def test_a_first_token_in_time_needs_no_hedge() -> None:
    """Nor does a stream that is slow after it."""
    stage = Stage(a=ok("from a", delay=1.9), b=ok("from b"))

    assert ("from a", "a") == (stage.stream(hedged(stage))[1].content, stage.order)


def test_the_bucket_bounds_them() -> None:
    """Of a hundred late calls ten and a tenth of a hundred are hedged, the others wait."""
    stage = Stage(a=ok("from a", pause=5), b=ok("from b"))

    async def play(llm: LLMWrapper) -> int:
        async def one() -> None:
            async for _ in llm.stream("Hello?", "a/m"):
                pass

        for _ in range(100):
            await one()
        return llm.hedges.sent

    sent = stage.run(hedged(stage), play)
    assert 18 <= sent <= 20
    assert 100 + sent == len(stage.asked)


def test_a_hedge_passes_over_a_route_that_is_out() -> None:
    """The circuit of the second is open: the third one is asked."""
    stage = Stage(a=ok(pause=50), b=status(401), c=ok("from c"))
    config = hedged(stage, fallbacks={"a/m": ["b/m", "c/m"]})

    async def play(llm: LLMWrapper) -> Response:
        await llm.query("Hello?", "b/m")
        stream = llm.stream("Hello?", "a/m")
        _ = [chunk async for chunk in stream]
        return stream.response

    assert ("from c", "bac") == (stage.run(config, play).content, stage.order)


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (Act(status=500, delay=5), Act(status=401, body=b"{}", delay=1), "server_error"),
        (Act(status=500, delay=3), Act(status=401, body=b"{}", delay=4), "server_error"),
        (Act(status=500, delay=3), Act(status=401, body=b"{}", delay=1), "server_error"),  # in the same moment
    ],
)
def test_when_both_fail_the_error_is_the_first_ones(first: Act, second: Act, kind: str) -> None:
    """Whichever failed first; the other one is named."""
    stage = Stage(a=first, b=second)
    response = stage.stream(hedged(stage))[1]

    assert (kind, "a", 2) == (response.error_type, response.provider, response.metadata["attempts"])
    assert "b/m: auth_error" in str(response.error)
    assert "ab" == stage.order


def test_a_third_route_follows_when_both_have_failed() -> None:
    """Neither of the two is asked again before it."""
    stage = Stage(a=Act(status=401, body=b"{}", delay=9), b=status(404, "model_not_found"), c=ok("from c"))
    response = stage.stream(hedged(stage, fallbacks={"a/m": ["b/m", "c/m"]}))[1]

    assert ("from c", "abc", 3) == (response.content, stage.order, response.metadata["attempts"])


def test_a_hedge_that_fails_leaves_the_first() -> None:
    """It is waited for as if nothing had been."""
    stage = Stage(a=ok("from a", pause=9), b=status(500))
    response = stage.stream(hedged(stage))[1]

    assert ("from a", "a", "ab") == (response.content, response.provider, stage.order)
    assert [("b", "server_error"), ("a", None)] == [
        (one["provider"], one["error_type"]) for one in response.metadata["attempts_detail"]
    ]


def test_an_error_told_by_a_loser_repeats_no_key() -> None:
    """It ends in the message of the call."""
    stage = Stage(
        a=Act(status=401, body=b'{"error": {"message": "Bad key secret-a-0123456789"}}', delay=3),
        b=Act(status=500, body=b"{}", delay=5),
    )
    response = stage.stream(hedged(stage))[1]

    assert "auth_error" == response.error_type
    assert "0123456789" not in str(response)


def test_what_the_loser_reported_is_in_the_details() -> None:
    """And that it was given up; the usage of the response is the winner's."""
    stage = Stage(a=ok("from a", pause=50), b=ok("from b"))
    response = stage.stream(hedged(stage))[1]
    lost = next(one for one in response.metadata["attempts_detail"] if one["provider"] == "a")

    assert ("incomplete_stream", None) == (lost["error_type"], lost["usage"])
    assert 5 == response.metadata["usage"]["total_tokens"]


@pytest.mark.parametrize("when", [0.0, 1.0, 2.0, 2.5, 3.0, 3.5])
@pytest.mark.parametrize("how", ["cancel", "close", "timeout"])
def test_leaving_during_a_race_leaves_nothing_behind(when: float, how: str) -> None:
    """No task, no open reply; the places of both are free again."""
    stage = Stage(a=SILENT, b=ok("from b", pause=1.5))
    config = hedged(stage, max_concurrency=1)

    async def play(llm: LLMWrapper) -> list[int]:
        stream = llm.stream("Hello?", "a/m", timeout=when + 0.25 if how == "timeout" else None)

        async def read() -> None:
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(when)
        if how == "cancel":
            task.cancel()
        elif how == "close":
            await stream.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stats = llm.get_usage_stats()
        assert len(stage.asked) == sum(stats[name]["requests"] for name in "ab")
        return [one["busy"] for one in llm.deployments()]

    assert {0} >= set(stage.run(config, play))
    assert [] == [asked.host for asked in stage.asked if asked.closed is None and asked.host == "a"]


outcomes = st.sampled_from(
    [ok("from a"), ok("from a", pause=3), ok("from a", delay=3), SILENT, CUT, *list(FAILURES.values())[:6],
     Act(status=500, delay=2.5), Act(status=500, delay=3)]
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(outcomes, min_size=2, max_size=3), st.integers(0, 2), st.floats(0.5, 6), st.sampled_from([4.0, 60.0]))
def test_races_keep_every_promise(hosts: list[Act], retries: int, cancel_at: float, total: float) -> None:
    """Cancelled or not, whatever comes: no task is left (`Stage.run` looks), nobody stays busy, attempts are few."""
    for cancelled in (False, True):
        stage = Stage(**dict(zip("abc", hosts, strict=False)))
        config = hedged(
            stage,
            fallbacks={"a/m": [f"{host}/m" for host in list(stage.hosts)[1:]]},
            max_retries=retries,
            max_concurrency=1,
            timeout_seconds=total,
        )

        async def play(llm: LLMWrapper, cancelled: bool = cancelled) -> tuple[Response, list[int]]:
            stream = llm.stream("Hello?", "a/m")

            async def read() -> None:
                async for _ in stream:
                    pass

            task = asyncio.create_task(read())
            if cancelled:
                await asyncio.sleep(cancel_at)
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return stream.response, [one["busy"] for one in llm.deployments()]

        response, busy = stage.run(config, play)
        assert {0} >= set(busy)
        assert len(stage.asked) <= 1 + retries + len(hosts) - 1
        if not cancelled:
            assert len(stage.asked) == response.metadata["attempts"]
            assert response.metadata["response_time"] <= total + 0.01


# --- on real sockets --------------------------------------------------------------------------------------------


def on_sockets(first: Any, second: Any, **settings: Any) -> WrapperConfig:
    providers = {
        name: OpenAICompatibleConfig(base_url=server.base_url) for name, server in (("a", first), ("b", second))
    }
    return WrapperConfig(
        **{"providers": providers, "fallbacks": TWO, "enable_caching": False, "hedge_after": 0.05, **settings}
    )


@pytest.mark.parametrize("silence", [[HANG], begin_stream(HANG), begin_stream(sse(delta(role="assistant")), HANG)])
def test_the_losers_connection_is_closed_at_once(silence: Any) -> None:
    """Within a tenth of a second of the winner's first token, whatever the loser had sent."""

    async def main() -> None:
        async with (
            serve(silence) as first,
            serve(whole_stream(sse(*HELLO))) as second,
            LLMWrapper(on_sockets(first, second)) as llm,
        ):
            stream = llm.stream("Hello?", "a/m")
            await anext(stream)
            delivered = asyncio.get_running_loop().time()
            left = await first.left()
            assert left - delivered <= PROMPTLY
            _ = [chunk async for chunk in stream]
            assert ("Hello you", "b") == (stream.response.content, stream.response.provider)

    asyncio.run(main())


def test_cancelling_a_race_closes_both_connections() -> None:
    """No socket and no task is left."""

    async def main() -> None:
        async with serve([HANG]) as first, serve(begin_stream(HANG)) as second:
            before = open_sockets()
            async with LLMWrapper(on_sockets(first, second)) as llm:
                task = asyncio.create_task(anext(llm.stream("Hello?", "a/m")))
                await second.asked()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                left_at = asyncio.get_running_loop().time()
                for server in (first, second):
                    assert await server.left() - left_at <= PROMPTLY
                await sockets_fall_to(before)

    asyncio.run(main())
