"""What a call did and spent: its attempts, added up by model, for the response, the totals and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from multi_llm_wrapper.account import Account, Attempt
from multi_llm_wrapper.errors import IncompleteStreamError, LLMError, RateLimitError, ServerError
from multi_llm_wrapper.metering.prices import Prices
from multi_llm_wrapper.metering.record import Record, Share, total, used
from multi_llm_wrapper.response import Facts
from multi_llm_wrapper.types import Reply, Usage

TABLE = {
    "a/m": {"input": 1, "output": 2},
    "a/n": {"input": 10, "output": 20},
    "b/m": {"input": 100, "output": 200},
    "renamed": {"input": 1000, "output": 2000},
}
"""Dollars per million tokens; c/m is unknown."""
GIVEN_UP = IncompleteStreamError("gone", code="closed")
NO = ServerError("No", status_code=500)
SLOW_DOWN = RateLimitError("Slow down", status_code=429)


def an(provider: str, model: str = "m", seconds: float = 1.0, **more: Any) -> Attempt:
    return Attempt(provider, model, seconds, **more)


def lost(provider: str, **more: Any) -> Attempt:
    """One that the caller, or the faster of two, has ended."""
    return an(provider, error=GIVEN_UP, given_up=True, **more)


def _in_turn(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """Each begins when the one before has ended, but a hedge and who lost to one, which were under way together."""
    at = 0.0
    for one in attempts:
        if one.ended == 0.0:
            one.began = 0.0 if one.hedge or one.given_up else at
            one.ended = one.began + one.seconds
        at = max(at, one.ended)
    return attempts


def closed(
    *attempts: Attempt, status: str = "success", reply: Reply | None = None, cached: bool = False, **facts: Any
) -> tuple[Record, Facts]:
    """The record of a call with these attempts, of which the last one answered with `reply`."""
    account = Account(Prices(TABLE), "fast", True)
    account.attempts += _in_turn(attempts)
    last = attempts[-1] if attempts else an("a")
    found = Facts(last.provider, last.model, 1_800_000_000.0, 9.0, attempts=len(attempts), **facts)
    error = last.error if status != "success" else None
    return account.close(found, status, reply, error, cached=cached), found


# --- one attempt ------------------------------------------------------------------------------------------------


def test_one_answer() -> None:
    """Its usage and cost are those of the call, its time the call's."""
    reply = Reply(content="x", usage=Usage(30, 20, 50), finish_reason="stop", response_id="id")
    record, facts = closed(an("a"), reply=reply, time_to_first_token=2.0, request_id="req")

    share = Share("a", "m", 9.0, Usage(30, 20, 50), Decimal("0.00007"), first_token=2.0, per_token=7 / 19)
    assert (
        Record(
            timestamp=1_800_000_000.0,
            status="success",
            asked="fast",
            provider="a",
            model="m",
            response_time=9.0,
            shares=[share],
            streamed=True,
            time_to_first_token=2.0,
            usage=Usage(30, 20, 50),
            cost=Decimal("0.00007"),
            finish_reason="stop",
            request_id="req",
            response_id="id",
            attempts=1,
        )
        == record
    )
    assert 0.00007 == facts.cost  # 30 * 1 + 20 * 2 dollars per million


def test_one_failure() -> None:
    """It costs what it had reported, and is of its provider's class."""
    record, facts = closed(an("a", error=SLOW_DOWN, usage=Usage(30, 0, 30)), status="error")

    assert [Share("a", "m", 9.0, Usage(30, 0, 30), Decimal("0.00003"), "rate_limit")] == record.shares
    assert ("error", "rate_limit", 429, 0.00003) == (record.status, record.error_type, record.status_code, facts.cost)


def test_one_that_the_caller_gave_up() -> None:
    """No failure of the provider's, and billed as far as it was told."""
    record, facts = closed(lost("a", usage=Usage(30, None, None)), status="abandoned")

    assert [(None, Usage(30, None, None))] == [(share.error_type, share.usage) for share in record.shares]
    assert (None, None) == (facts.cost, record.cost)


@pytest.mark.parametrize(("provider", "usage"), [("c", Usage(3, 2, 5)), ("a", None), ("c", None)])
def test_an_unknown_cost_is_none(provider: str, usage: Usage | None) -> None:
    """Without a price, or without usage; never 0."""
    record, facts = closed(an(provider), reply=Reply(usage=usage))

    assert (usage, None, None, [None]) == (record.usage, record.cost, facts.cost, [s.cost for s in record.shares])


def test_the_answer_says_which_model_it_was() -> None:
    """Its own name, its tier and its raw counts count for the price; a failed attempt has none of these."""
    reply = Reply(usage=Usage(1, 1, 2), response_model="renamed")

    assert Decimal("0.003") == closed(an("c"), reply=reply)[0].cost
    assert None is closed(an("c", error=NO, usage=Usage(1, 1, 2)), status="error")[0].cost


def test_what_is_asked_of_the_price_list() -> None:
    """Everything that is known of the answer; of the attempts before it their counts alone."""
    asked: list[dict[str, Any]] = []

    class Listed(Prices):
        def cost(self, provider: str, model: str, usage: Usage | None, at: float, **more: Any) -> Decimal | None:
            asked.append({"who": f"{provider}/{model}", "usage": usage, "at": at, **more})
            return None

    account = Account(Listed(), "fast", False)
    account.attempts += [an("a", error=NO, usage=Usage(1)), an("b")]
    raw = {"prompt_tokens": 2}
    reply = Reply(usage=Usage(2), raw_usage=raw, response_model="m-1", extras={"service_tier": "flex"})
    account.close(Facts("b", "m", 5.0, 1.0), "success", reply, None)

    assert [
        {"who": "a/m", "usage": Usage(1), "at": 5.0},
        {"who": "b/m", "usage": Usage(2), "at": 5.0, "raw_usage": raw, "tier": "flex", "response_model": "m-1"},
    ] == asked


def test_a_tier_of_another_type_is_none() -> None:
    """Extras are somebody else's JSON."""
    reply = Reply(usage=Usage(1, 1, 2), extras={"service_tier": {"a": 1}})

    assert Decimal("0.000003") == closed(an("a"), reply=reply)[0].cost


def test_a_hit_costs_nothing() -> None:
    """It has no share, no usage and the cost 0, which is known."""
    record, facts = closed(reply=Reply(usage=Usage(3, 2, 5), finish_reason="stop", response_id="id"), cached=True)

    assert ([], None, None, True) == (record.shares, record.usage, record.cost, record.cached)
    assert ("stop", "id", 0.0) == (record.finish_reason, record.response_id, facts.cost)


def test_nothing_was_asked() -> None:
    """Of a call that was refused unsent there is no share, and its cost is not known."""
    record, facts = closed(status="error")

    assert ([], None, None, None) == (record.shares, record.usage, record.cost, facts.cost)


def test_a_model_that_is_no_text() -> None:
    """What the caller named may be anything; the ledger has text or nothing."""
    assert [None, "gpt-4o"] == [
        Account(Prices(), asked, False).close(Facts(None, None, 1.0, 1.0), "error", None, NO).asked
        for asked in ([1], "gpt-4o")
    ]


# --- several attempts -------------------------------------------------------------------------------------------


def test_retries_at_one_provider() -> None:
    """One share, with the time of the call and the usage of all."""
    record, facts = closed(
        an("a", error=SLOW_DOWN),
        an("a", error=NO, usage=Usage(10, 5, 15)),
        an("a"),
        reply=Reply(usage=Usage(30, 20, 50)),
    )

    cost = Decimal("0.00009")  # 40 * 1 + 25 * 2 dollars per million
    assert [Share("a", "m", 9.0, Usage(40, 25, 65), cost, attempts=3, retries=2)] == record.shares
    assert (Usage(40, 25, 65), cost, 3, 0.00009) == (record.usage, record.cost, record.attempts, facts.cost)


def test_a_fallback() -> None:
    """A share for each provider, with the time of its own attempts; the first token is that of who answered."""
    record, facts = closed(
        an("a", seconds=1.0, error=NO, usage=Usage(10, 5, 15)),
        an("a", seconds=2.0, error=SLOW_DOWN),
        an("b", seconds=3.0),
        reply=Reply(usage=Usage(30, 20, 50)),
        time_to_first_token=5.0,
    )

    assert [
        Share("a", "m", 3.0, Usage(10, 5, 15), Decimal("0.00002"), "rate_limit", attempts=2, retries=1),
        Share("b", "m", 3.0, Usage(30, 20, 50), Decimal("0.007"), first_token=5.0, per_token=4 / 19),
    ] == record.shares
    assert (Usage(40, 25, 65), Decimal("0.00702"), 0.00702) == (record.usage, record.cost, facts.cost)


def test_every_attempt_has_the_price_of_its_model() -> None:
    """Two models of one provider: a share for each, and the other one is no retry."""
    record, _ = closed(an("a", "m", error=NO, usage=Usage(10, 5)), an("a", "n"), reply=Reply(usage=Usage(10, 5)))

    assert [("m", Decimal("0.00002"), "server_error", 0), ("n", Decimal("0.0002"), None, 0)] == [
        (share.model, share.cost, share.error_type, share.retries) for share in record.shares
    ]
    assert Decimal("0.00022") == record.cost


def test_one_unknown_price_makes_the_call_unknown() -> None:
    """But not the share of the provider whose price is known, nor where the others reported nothing."""
    used_some, used_none = Usage(10, 5, 15), None
    for usage, cost in ((used_some, None), (used_none, Decimal("0.007"))):
        record, facts = closed(an("c", error=NO, usage=usage), an("b"), reply=Reply(usage=Usage(30, 20, 50)))
        assert [None, Decimal("0.007")] == [share.cost for share in record.shares]
        assert (cost, None if cost is None else 0.007) == (record.cost, facts.cost)


def test_a_provider_that_was_asked_again() -> None:
    """After another one: still one share, at its last attempt's place, and that one decides about the error."""
    record, _ = closed(an("a", error=NO), an("b", error=SLOW_DOWN), an("a"), reply=Reply(usage=Usage(1, 1, 2)))

    assert [("b", "rate_limit", 1, 0), ("a", None, 2, 1)] == [
        (share.provider, share.error_type, share.attempts, share.retries) for share in record.shares
    ]


# --- hedges and those who gave up -------------------------------------------------------------------------------


def test_a_hedge_that_won() -> None:
    """Counts at the provider it went to; the slower one is no error, and is billed as far as it was told."""
    record, facts = closed(
        lost("a", seconds=3.0, usage=Usage(10, 5, 15)),
        an("b", seconds=1.0, hedge=True),
        reply=Reply(usage=Usage(30, 20, 50)),
        time_to_first_token=3.0,
    )

    assert [
        Share("a", "m", 3.0, Usage(10, 5, 15), Decimal("0.00002")),
        Share("b", "m", 1.0, Usage(30, 20, 50), Decimal("0.007"), hedges=1, first_token=3.0, per_token=6 / 19),
    ] == record.shares
    assert 0.00702 == facts.cost


def test_a_hedge_that_lost() -> None:
    """Is a request at its provider, and no error there."""
    record, _ = closed(lost("b", hedge=True), an("a"), reply=Reply(usage=Usage(30, 20, 50)))

    assert [("b", None, 1, 0), ("a", None, 0, 0)] == [
        (share.provider, share.error_type, share.hedges, share.retries) for share in record.shares
    ]


@pytest.mark.parametrize(
    ("attempts", "hedges", "retries"),
    [
        ([lost("a"), an("a", "n", hedge=True)], 1, 0),
        ([lost("a", hedge=True), an("a", "n")], 1, 0),
        ([an("a", error=NO), an("a", "n", hedge=True)], 1, 0),
        ([an("a", error=NO), lost("a", hedge=True), an("a")], 1, 1),
        ([an("a", error=NO, hedge=True), an("a")], 1, 1),
    ],
)
def test_a_hedge_at_the_same_provider_is_no_retry(attempts: list[Attempt], hedges: int, retries: int) -> None:
    """A retry follows a failure there; whoever lost a race did not fail."""
    ((share, _),) = closed(*attempts, reply=Reply(usage=Usage(1, 1, 2)))[0].by_provider()

    assert (len(attempts), hedges, retries) == (share.attempts, share.hedges, share.retries)


def test_given_up_after_a_fallback() -> None:
    """The first keeps its error, the one that was left has none."""
    record, _ = closed(an("a", error=NO), lost("b", usage=Usage(5, 1, 6)), status="abandoned", reply=Reply())

    assert [("server_error", None), (None, Usage(5, 1, 6))] == [(s.error_type, s.usage) for s in record.shares]
    assert (Usage(5, 1, 6), Decimal("0.0007")) == (record.usage, record.cost)


# --- in the metadata --------------------------------------------------------------------------------------------


def test_the_detail_of_an_attempt() -> None:
    """Usage stands beside those that failed; that of the answer is in the metadata itself."""
    ok = {"provider": "a", "model": "m", "error_type": None, "status_code": 200, "duration": 1.0, "wait": None}
    failed = {**ok, "error_type": "server_error", "status_code": 500, "wait": 0.5, "hedge": False}
    counts = structs.asdict(Usage(1, 2, 3))
    account = Account(Prices(), None, False)
    account.attempts += [an("a", error=NO, wait=0.5, usage=Usage(1, 2, 3)), an("a", hedge=True, usage=Usage(1))]

    assert [{**failed, "usage": counts}, {**ok, "hedge": True, "usage": None}] == account.details()


errors: st.SearchStrategy[LLMError | None] = st.sampled_from([None, NO, SLOW_DOWN])
usages = st.none() | st.builds(Usage, *[st.none() | st.integers(0, 1000)] * 6)
attempts = st.builds(
    Attempt,
    st.sampled_from("abc"),
    st.sampled_from("mn"),
    st.floats(0, 10),
    errors,
    hedge=st.booleans(),
    usage=usages,
)


@given(st.lists(attempts, min_size=1, max_size=6))
def test_nothing_is_lost_or_counted_twice(tried: list[Attempt]) -> None:
    """However it went: the shares add up to the attempts, and their usage to that of the call."""
    record, facts = closed(*tried, status="error")

    assert len(tried) == sum(share.attempts for share in record.shares)
    assert sum(one.hedge for one in tried) == sum(share.hedges for share in record.shares)
    models = [(one.provider, one.model) for one in reversed(tried)]
    assert list(dict.fromkeys(models)) == [(share.provider, share.model) for share in reversed(record.shares)]
    assert used(one.usage for one in tried) == used(share.usage for share in record.shares) == record.usage
    unknown = any(share.unpriced for share in record.shares)
    assert record.cost == (None if unknown else total(share.cost for share in record.shares))
    by_provider = [whole for whole, _ in record.by_provider()]
    assert total(s.cost for s in by_provider) == total(s.cost for s in record.shares)
    assert unknown == any(whole.unpriced for whole in by_provider)
    assert (None if record.cost is None else float(record.cost)) == facts.cost


@pytest.mark.parametrize("second", ["a", "b"])
def test_the_first_token_is_that_of_who_sent_it(second: str) -> None:
    """After a restart that is not who answered, and there is no time per token, at the same provider neither."""
    record, _ = closed(
        an("a", seconds=5.0, error=NO), an(second, seconds=2.0), reply=Reply(usage=Usage(1, 9)), time_to_first_token=1.0
    )
    assert {"a": 1.0, "b": None}.items() >= {share.provider: share.first_token for share in record.shares}.items()
    assert {None} == {share.per_token for share in record.shares}


@pytest.mark.parametrize(("output", "pace"), [(None, None), (0, None), (1, None), (2, 8.0), (5, 2.0)])
def test_time_per_token(output: int | None, pace: float | None) -> None:
    """From the first token to the end, by each of the others; one token has none, and a number that is not known."""
    record, _ = closed(an("a"), reply=Reply(usage=Usage(9, output)), time_to_first_token=1.0)
    assert [(1.0, pace)] == [(share.first_token, share.per_token) for share in record.shares]


def test_time_per_token_after_a_fallback() -> None:
    """That of the answer, of its own tokens; both times are counted from the start of the call."""
    failed = an("a", seconds=5.0, error=NO, usage=Usage(9, 100))
    record, _ = closed(failed, an("a", seconds=4.0), reply=Reply(usage=Usage(9, 11)), time_to_first_token=6.0)
    assert [(6.0, 0.3)] == [(share.first_token, share.per_token) for share in record.shares]


def test_time_per_token_of_a_failure() -> None:
    """There is none: the stream broke off, or went on elsewhere."""
    record, _ = closed(an("a", error=NO, usage=Usage(9, 11)), status="error", time_to_first_token=1.0)
    assert [(1.0, None)] == [(share.first_token, share.per_token) for share in record.shares]


def test_some_attempts_without_a_price() -> None:
    """What is known stays in the share, which says that it is not all; the cost of the call is not known."""
    reply = Reply(usage=Usage(1, 1, 2), response_model="renamed")
    record, _ = closed(an("c", error=NO, usage=Usage(5, 5)), an("c"), reply=reply)

    assert [(Decimal("0.003"), True)] == [(share.cost, share.unpriced) for share in record.shares]
    assert None is record.cost


def test_a_hedge_that_fails_makes_no_retry_of_the_attempt_that_it_was_beside() -> None:
    """That one was under way before."""
    first, hedge = an("a", seconds=30.0), an("a", "n", seconds=1.0, error=NO, hedge=True)
    first.ended, hedge.began, hedge.ended = 30.0, 2.0, 3.0
    record, _ = closed(hedge, first, reply=Reply(usage=Usage(1, 2)))
    assert [(1, 1, 0), (1, 0, 0)] == [(share.attempts, share.hedges, share.retries) for share in record.shares]


def test_the_request_id_of_a_failure_is_kept() -> None:
    """It comes with the error, when there was no answer."""
    error = ServerError("No", status_code=500, request_id="req_1")
    record, _ = closed(an("a", error=error), status="error")
    assert "req_1" == record.request_id
