"""The simulator's faults, met by each client through its public API: whether it survives, says so, or does not.

Every trial has a simulator of its own, on a port of its own: no client's pool, cooldown or cache carries anything from
one trial to the next, and the journal has this trial's requests alone. What is right is scripted, so it is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from multi_llm_wrapper.simulator import Brain, SimulatorServer
from multi_llm_wrapper.simulator.faults import FAULTS, parse
from multi_llm_wrapper.validation.cells import PACE, QUESTION, Cell, cells

from .process import PeerError, Worker
from .roster import Peer

Count = Callable[[str, int, int], None]
"""What is being done, how much of it is over, and how much it is."""

SECONDS = 3.0
"""How long each client may wait for an answer, by whatever it calls so."""
LIMIT = 30.0
"""After so many seconds a call hangs: three attempts that wait in vain take a third of it."""
WIDTH = 24
"""Trials at a time; they mostly wait."""
MODEL = "gpt-4o"
TEXT = "They are written in UTF-8: é takes two bytes, each of 日本 and ☕ takes three, and none of them is ASCII."
USAGE = {"input_tokens": 21, "output_tokens": 34}
UNCOUNTED = frozenset({"no_usage", "zero_usage", "wrong_usage", "negative_usage", "finish_then_silence"})
"""Faults that touch the usage: only the text is looked at."""
SHORTER = {
    "slow_headers": "slow_headers?s=1",
    "slow_first_token": "slow_first_token?s=1",
    "rate_limit_seconds": "rate_limit_seconds?s=1",
    "rate_limit_date": "rate_limit_date?s=2",
    "unavailable_wait": "unavailable_wait?s=1",
}
"""With times that fit `SECONDS`."""
SURVIVED, ERROR, WRONG, CRASHED, HUNG = VERDICTS = ("survived", "error", "wrong", "crashed", "hung")
"""The whole right answer; an error of the client's own; something else as an answer; a foreign exception; nothing."""
_GIVEN = ("error", "says", "at", "text", "usage", "finish")
BIG = frozenset({"giant_body", "giant_event"})
"""Refused by whoever has a limit; the answer in them is whole."""


@dataclass
class Trial:
    cell: Cell
    server: SimulatorServer

    @property
    def asking(self) -> dict[str, Any]:
        return _asking(self.server.url, self.cell.stream, 1 + self.unasked)

    @property
    def unasked(self) -> int:
        """Requests before the one that counts: a connection dies idle after the first."""
        return int(self.cell.name == "idle_close")

    @property
    def requests(self) -> int:
        return len(self.server.brain.journal) - self.unasked

    @property
    def sent(self) -> bool:
        """The simulator did put the fault into a reply."""
        return any(entry.fault == self.cell.name for entry in self.server.brain.journal)


def wanted() -> Iterator[Cell]:
    """The matrix in OpenAI's protocol. Left out is what nobody can find out; what passes comes once and always."""
    for cell in cells():
        effect = FAULTS[cell.name].effect
        if cell.dialect == "openai_chat" and effect != "altered" and (effect == "passing" or not cell.once):
            yield structs.replace(cell, spec=SHORTER.get(cell.spec, cell.spec))


async def measure(peer: Peer, count: Count) -> list[dict[str, Any]]:
    """What came of every trial. Raises `PeerError` for a client that cannot be asked at all, and for a fault that was
    not sent."""
    async with AsyncExitStack() as stack:
        healthy = await stack.enter_async_context(SimulatorServer(_brain()))
        trials = [Trial(cell, await stack.enter_async_context(SimulatorServer(_brain(cell)))) for cell in wanted()]
        answers = await asyncio.to_thread(_survey, peer, healthy.url, trials, count)
    unsent = [str(trial.cell) for trial in trials if not trial.sent]
    if unsent:
        raise PeerError(f"faults: never sent were {', '.join(unsent)}")
    return [outcome(peer, trial, answer) for trial, answer in zip(trials, answers, strict=True)]


def _brain(cell: Cell | None = None) -> Brain:
    brain = Brain(pace=PACE)
    brain.script({"text": TEXT, "usage": USAGE}, times=None)
    if cell is not None:
        (spec,) = parse(cell.spec)
        brain.faults(structs.replace(spec, times=1.0) if cell.once or cell.name == "idle_close" else spec)
    return brain


def _asking(url: str, stream: bool, times: int = 1) -> dict[str, Any]:
    return {"url": url, "model": MODEL, "prompt": QUESTION, "stream": stream, "times": times}


# --- asking -------------------------------------------------------------------------------------------------------


def _survey(peer: Peer, healthy: str, trials: Sequence[Trial], count: Count) -> list[dict[str, Any]]:
    """All answers, in order. When the process is gone or blocked, those that had begun are asked one by one: whatever
    does it again counts as hung."""
    found: dict[int, dict[str, Any]] = {}
    alone: list[int] = []
    while len(found) < len(trials):
        places = alone[:1] or [place for place in range(len(trials)) if place not in found]
        begun = _some(peer, healthy, trials, places, found, count)
        stuck = [place for place in begun if place not in found]
        if len(places) == 1 and stuck:
            found[stuck[0]] = {"hung": True}
        alone = [place for place in alone or stuck if place not in found]
    return [found[place] for place in range(len(trials))]


def _some(
    peer: Peer,
    healthy: str,
    trials: Sequence[Trial],
    places: Sequence[int],
    found: dict[int, dict[str, Any]],
    count: Count,
) -> list[int]:
    """Puts the answers of these trials into `found`, as far as they come; which ones had begun."""
    begun: list[int] = []

    def told(line: dict[str, Any]) -> None:
        if "begun" in line:
            begun.append(places[line["begun"]])
        else:
            found[places[line.pop("place")]] = line
            count(f"{peer.title}: faults", len(found), len(trials))

    with Worker(peer.name, peer.adapter, healthy, peer.environment) as worker:
        _warm(worker, peer, healthy)
        asked = [trials[place].asking for place in places]
        try:
            worker.ask("faults", told=told, limit=LIMIT + 10, trials=asked, width=WIDTH, seconds=SECONDS, within=LIMIT)
        except PeerError:
            if not begun:
                raise
    return begun


def _warm(worker: Worker, peer: Peer, healthy: str) -> None:
    """A healthy answer first, whole and streamed: what a library loads when it is first used is not in the limits."""
    told: list[dict[str, Any]] = []
    asked = [_asking(healthy, stream) for stream in (False, True)]
    worker.ask("faults", told=told.append, trials=asked, width=1, seconds=LIMIT, within=2 * LIMIT)
    for line in told:
        if "place" in line and not right("", line):
            raise PeerError(f"faults: {peer.title} does not read a healthy answer: {line}")


# --- judging ------------------------------------------------------------------------------------------------------


def outcome(peer: Peer, trial: Trial, answer: dict[str, Any]) -> dict[str, Any]:
    """One trial as it is kept."""
    cell = trial.cell
    return {
        "spec": cell.spec,
        "effect": FAULTS[cell.name].effect,
        "stream": cell.stream,
        "once": cell.once,
        "verdict": verdict(peer, cell.name, answer),
        "requests": trial.requests,
        "seconds": answer.get("seconds"),
        "given": {name: answer[name] for name in _GIVEN if name in answer},
    }


def verdict(peer: Peer, fault: str, answer: dict[str, Any]) -> str:
    if "hung" in answer:
        return HUNG
    if "error" in answer:
        own = "kinds" not in answer or peer.errors in answer["kinds"]
        return ERROR if own else CRASHED
    return SURVIVED if right(fault, answer) else WRONG


def right(fault: str, answer: dict[str, Any]) -> bool:
    """The whole text and nothing else, and the usage where the fault leaves it alone."""
    usage = answer.get("usage") or {}
    counted = [usage.get("input"), usage.get("output")] == [USAGE["input_tokens"], USAGE["output_tokens"]]
    return answer.get("text") == TEXT and not answer.get("calls") and (counted or fault in UNCOUNTED)


def refusal(found: Mapping[str, Any]) -> bool:
    """Whether to ask again would be wrong: what was refused stays so."""
    return found["effect"] == "refused" and found["spec"].partition("?")[0] not in BIG
