"""Every fault of the simulator, asked by `query` and `stream` in three dialects: the promises hold in every cell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from multi_llm_wrapper.attempt import LiveStream
from multi_llm_wrapper.config import Timeouts
from multi_llm_wrapper.errors import LLMError, MalformedResponseError
from multi_llm_wrapper.framing import StreamReader
from multi_llm_wrapper.legs import Legs
from multi_llm_wrapper.policies.budget import Budget, Step
from multi_llm_wrapper.providers import profile_of
from multi_llm_wrapper.simulator.faults import DIALECTS, FAULTS, parse
from multi_llm_wrapper.stream import ResponseStream
from multi_llm_wrapper.transport.watch import Watch
from multi_llm_wrapper.validation.cells import (
    CALLERS,
    FALLBACKS,
    MODELS,
    WIDER,
    Cell,
    Outcome,
    cells,
    run,
    run_http,
    violations,
)
from multi_llm_wrapper.validation.matrix import START, every, page, tables
from tests.conftest import REPOSITORY

ALL = list(cells())
FALLING = list(cells(fallback=True))
AFTER_CALLS = [
    Cell(spec, dialect, stream=True, once=True, restart=True, tools=True)
    for spec in ("cut?k=1", "reset_midway?k=1", "error_event?k=1", "malformed_event?k=1", "stall?k=1")
    for dialect in ("openai_chat", "anthropic_messages")  # Gemini sends its calls and the finish reason in one event
]
SPECS = list(dict.fromkeys(cell.spec for cell in ALL))


@pytest.fixture(scope="module")
def results() -> dict[Cell, Outcome]:
    """What the page is written from."""
    return {cell: run(cell) for cell in every()}


def broken(some: list[Cell]) -> dict[str, list[str]]:
    """The cells in which a promise does not hold."""
    found = {str(cell): violations(cell, run(cell)) for cell in some}
    return {cell: words for cell, words in found.items() if words}


@pytest.mark.parametrize("spec", SPECS)
def test_every_promise_holds_under_this_fault(spec: str) -> None:
    """Nothing hangs, nothing cut is a success, nothing is repeated that must not be, nothing raises."""
    assert {} == broken([cell for cell in ALL if cell.spec == spec])


@pytest.mark.parametrize("spec", SPECS)
def test_every_promise_holds_where_the_answer_is_tool_calls(spec: str) -> None:
    """The same for an answer without a word of text: half a call is no call."""
    assert {} == broken([structs.replace(cell, tools=True) for cell in ALL if cell.spec == spec])


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reply_may_be_cut_at_any_byte(dialect: str, stream: bool, tools: bool) -> None:
    """Up to the last byte that matters it is an error or asked again, never a shorter answer."""
    places = [*range(0, 20_000, 151), *range(300, 1000, 7)]
    assert {} == broken([Cell(f"cut_at?bytes={at}", dialect, stream, True, tools=tools) for at in places])


@pytest.mark.parametrize("cell", list(cells(restart=True)), ids=str)
def test_a_restart_mends_every_interruption(cell: Cell) -> None:
    """With `on_interrupt="restart"` one failure in the middle of a stream leaves the response whole."""
    assert [] == violations(cell, run(cell))


@pytest.mark.parametrize("spec", SPECS)
def test_a_fallback_answers_every_fault_that_is_not_the_callers_own(spec: str) -> None:
    """Whatever the first provider does, the answer is whole, in text and in tool calls; content that is out stays."""
    here = [cell for cell in FALLING if cell.spec == spec]
    as_tools = [structs.replace(cell, tools=True) for cell in here if not cell.tools]
    plain = [structs.replace(cell, restart=False) for cell in here if cell.stream and "k" in FAULTS[cell.name].params]
    assert {} == broken([*here, *as_tools, *plain])


def test_the_fallback_answers_all_but_the_callers_own_and_calls_that_are_out(results: dict[Cell, Outcome]) -> None:
    """Counted by name: what ends in an error in spite of a fallback is the caller's own, or half a tool call."""
    failed = {cell.name for cell in FALLING if results[cell].status != "success"}
    assert CALLERS | {"swap_tool_index"} == failed


def test_the_fallbacks_with_a_larger_window_are_those_of_the_matrix() -> None:
    """What the matrix says of a prompt that is too long follows from the windows that are known."""

    def window(dialect: str) -> int:
        return profile_of(MODELS[dialect].partition("/")[2]).context_window or 0

    assert {d for d in DIALECTS if window(FALLBACKS[d]) > window(d)} == set(WIDER)


@pytest.mark.parametrize("cell", AFTER_CALLS, ids=str)
def test_nothing_begins_anew_after_a_tool_call(cell: Cell) -> None:
    """A tool that was called may have done something: the stream ends with its error."""
    found = run(cell)
    assert [] == violations(cell, found)
    assert ("error", 1, 0) == (found.status, found.attempts, found.restarts)


def test_the_matrix_has_every_fault_in_every_dialect_and_mode_it_applies_to() -> None:
    """The cells are counted from the table of faults, so that none can be left out unseen."""
    expected = sum(
        2 * (1 + len(fault.variants)) * sum(fault.applies(d, s) for d in DIALECTS for s in (False, True))
        for fault in FAULTS.values()
    )
    assert expected == len(ALL) == len(set(ALL))
    assert expected == 2 * len(FALLING) == 2 * len(set(FALLING))


def test_the_page_shows_what_is_measured(results: dict[Cell, Outcome]) -> None:
    """docs/faults.md has the faults and the matrix as they are; its command writes it anew."""
    text = (REPOSITORY / "docs/faults.md").read_text(encoding="utf-8")
    assert START in text
    assert text == page(text, results), "python -m multi_llm_wrapper.validation.matrix docs/faults.md"
    assert tables(results) in text


# --- in real time -----------------------------------------------------------------------------------------------

QUICK = Timeouts(first_token=1.0, idle=0.8, total=8.0)
PATIENT = Timeouts(first_token=20.0, idle=20.0, total=60.0)  # what takes long is reading so many bytes
SHORTER = {
    "slow_headers": "s=0.2",
    "slow_first_token": "s=0.2",
    "rate_limit_seconds": "s=1",
    "rate_limit_float": "s=0.3",
    "rate_limit_date": "s=2",
    "rate_limit_ms": "s=0.2",
    "unavailable_wait": "s=1",
    "rate_limit_body": "s=0.2",
}
"""The same faults without minutes of waiting."""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_promise_holds_over_http_in_real_time() -> None:
    """The whole matrix against the simulator over sockets, with short limits."""
    found: dict[str, list[str]] = {}

    async def one(cell: Cell, at_once: asyncio.Semaphore) -> None:
        giant = cell.name.startswith("giant")
        limits = PATIENT if giant else QUICK
        if cell.name in SHORTER:
            cell = structs.replace(cell, spec=f"{cell.name}?{SHORTER[cell.name]}")
        async with at_once, asyncio.timeout(90):
            outcome = await run_http(cell, limits)
        if words := violations(cell, outcome, limits.total or 0.0, slack=2.0):
            found[str(cell)] = words

    async def together() -> None:
        many, few = asyncio.Semaphore(12), asyncio.Semaphore(2)
        giants = [cell for cell in ALL if cell.name.startswith("giant")]
        await asyncio.gather(*(one(cell, many) for cell in ALL if cell not in giants))
        await asyncio.gather(*(one(cell, few) for cell in giants))

    asyncio.run(together())
    assert {} == found


# --- tests of the tests -----------------------------------------------------------------------------------------


_AFTER = Budget.after


def _ignores_retry_after(self: Budget, error: LLMError, now: float, **routes: bool) -> Step | None:
    told, error.retry_after = error.retry_after, None
    step = _AFTER(self, error, now, **routes)
    error.retry_after = told
    return step


def _repeats_everything(self: Budget, error: LLMError, now: float, **routes: bool) -> Step | None:
    return Step(0.0) if self.attempts < self.max_attempts else None


def _repeats_once_more(self: Budget, error: LLMError, now: float, **routes: bool) -> Step | None:
    return Step(0.0) if error.retryable and self.attempts <= self.max_attempts else None


def fails(*specs: str) -> list[str]:
    """What the matrix says of these faults."""
    some = [cell for cell in ALL if cell.spec in specs]
    return sorted({words for found in broken(some).values() for words in found})


@pytest.mark.parametrize(
    ("policy", "spec", "words"),
    [
        (_ignores_retry_after, "rate_limit_seconds", "waited"),
        (_ignores_retry_after, "rate_limit_long", "repeated in spite of a long wait"),
        (_repeats_everything, "bad_request", "a refusal was repeated"),
        (_repeats_everything, "quota", "a refusal was repeated"),
        (_repeats_once_more, "server_error", "too many"),
    ],
)
def test_a_broken_retry_policy_is_found(
    monkeypatch: pytest.MonkeyPatch, policy: Callable[..., Any], spec: str, words: str
) -> None:
    """Ignore Retry-After, repeat a 400, ask once too often: the matrix fails."""
    monkeypatch.setattr(Budget, "after", policy)
    assert any(words in said for said in fails(spec))


def _never(self: Legs, error: LLMError, leg: Any = None) -> bool:
    return False


def _always(self: Legs, error: LLMError, leg: Any = None) -> bool:
    return True


@pytest.mark.parametrize(
    ("moves", "spec", "words"),
    [
        (_never, "server_error", "the fallback did not mend it: server_error"),
        (_never, "bad_key", "the fallback did not mend it: auth_error"),
        (_never, "cut", "restart did not mend it"),
        (_always, "content_filter", "the caller's own fault was sent to the fallback"),
        (_always, "bad_request", "the caller's own fault was sent to the fallback"),
    ],
)
def test_a_broken_way_to_the_fallback_is_found(
    monkeypatch: pytest.MonkeyPatch, moves: Callable[..., Any], spec: str, words: str
) -> None:
    """Keep what another provider could mend, or send on what none would take: the matrix fails."""
    monkeypatch.setattr(Legs, "moves", moves)
    found = broken([cell for cell in FALLING if cell.spec == spec])
    assert any(words in said for said in found.values())


def test_an_accepted_cut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that takes the end of the bytes for the end of the answer fails the matrix."""
    monkeypatch.setattr(LiveStream, "_end", LiveStream._finish)
    assert "a part of the answer is called a success" in fails("cut_clean")


def test_a_retry_after_content_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that begins anew after content was delivered, without saying so, fails the matrix."""
    real = ResponseStream._deliver

    def forgets(self: Any, *arguments: Any) -> None:
        real(self, *arguments)
        self._delivered = False

    monkeypatch.setattr(ResponseStream, "_deliver", forgets)
    assert any("repeated after content" in words or "differ" in words for words in fails("cut", "reset_midway"))


def test_a_forgotten_idle_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit for silence a stalled stream takes all the time of the call; then even that is passed."""
    until = Watch.until
    monkeypatch.setattr(Watch, "until", lambda self, when: until(self, when + 1000.0))
    assert any("more than the call's" in words for words in fails("stall"))


def test_a_skipped_bad_event_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that passes over an event that it cannot read loses text in silence: the matrix fails."""
    real = StreamReader._decode

    def skips(self: Any, sse: list[Any]) -> list[Any]:
        events = []
        for event in sse:
            try:
                events += real(self, [event])
            except MalformedResponseError:
                continue
        return events

    monkeypatch.setattr(StreamReader, "_decode", skips)
    assert "a part of the answer is called a success" in fails("malformed_event")


def test_an_error_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that reaches the caller fails the matrix."""

    async def raises(self: ResponseStream, call: Any, error: Exception) -> None:
        raise error

    monkeypatch.setattr(ResponseStream, "_recover", raises)
    assert any(words.startswith("raised ValidationError") for words in fails("bad_request"))


def test_a_restart_after_a_tool_call_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that begins anew when a tool may have run already fails the matrix."""
    monkeypatch.setattr(ResponseStream, "_called_tool", property(lambda self: False, lambda *_: None), raising=False)
    found = {words for cell in AFTER_CALLS for words in violations(cell, run(cell))}
    assert "began anew after a tool call was delivered" in found


def test_every_spec_of_the_matrix_can_be_written_in_a_header() -> None:
    """What the page shows is what `x-sim-fault` takes."""
    assert [spec.partition("?")[0] for spec in SPECS] == [parse(spec)[0].fault.name for spec in SPECS]
