"""What each client made of the recordings, beside what they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .expected import Counts, Expected, group_of
from .process import PeerError, Worker
from .replay import prompt
from .roster import VERBATIM, Peer
from .speed import Say

BATCH = 50
_SHOWN = ("text", "calls", "usage")
PARTS = ("text", "calls", "usage", "own_usage", "strict_usage")


@dataclass
class Tally:
    """How many exchanges of one group were read right: text, tool calls and usage, all of them. `exact`: usage by the
    contract's inclusive definitions; `own`: as the client itself defines it; `strict`: by the contract, and what was
    not reported is not 0."""

    answers: int = 0
    exact: int = 0
    own: int = 0
    strict: int = 0
    right: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    raised: int = 0
    """Answers that the client could not read at all."""
    errors: int = 0
    fitting: int = 0
    """Recorded errors that were given as an error of a fitting class."""
    wrong: list[dict[str, Any]] = field(default_factory=list)


def read_all(worker: Worker, peer: Peer, exchanges: list[Expected], say: Say) -> dict[str, Tally]:
    """Group of recordings -> tally, for the groups that the client can be pointed at."""
    mine = [one for one in exchanges if group_of(one.dialect) in peer.reads]
    tallies = {group: Tally() for group in peer.reads}
    for start in range(0, len(mine), BATCH):
        say(f"{peer.title}: {start} of {len(mine)}")
        some = mine[start : start + BATCH]
        asked = [
            {"dialect": one.dialect, "model": one.model, "stream": one.stream, "prompt": prompt(one.dialect, one.line)}
            for one in some
        ]
        try:
            readings = worker.ask("read", exchanges=asked, limit=300)["readings"]
        except PeerError as failure:
            readings = [{"error": "PeerError", "kinds": [], "says": str(failure)}] * len(some)
        for one, reading in zip(some, readings, strict=True):
            note(tallies[group_of(one.dialect)], peer, one, reading)
    return tallies


def note(tally: Tally, peer: Peer, expected: Expected, reading: dict[str, Any]) -> None:
    """Counts one exchange."""
    if expected.error is not None:
        tally.errors += 1
        fits = peer.fits.get(expected.error, frozenset())
        if not fits.isdisjoint([reading.get("error"), *reading.get("kinds", ())]):
            tally.fitting += 1
        else:
            tally.wrong.append(_wrong(expected, ["error"], reading))
        return
    tally.answers += 1
    if "error" in reading:
        tally.raised += 1
        tally.wrong.append(_wrong(expected, ["raised"], reading))
        return
    right = compare(peer, expected, reading)
    for part, is_right in right.items():
        tally.right[part] += is_right
    same = right["text"] and right["calls"]
    tally.exact += same and right["usage"]
    tally.own += same and right["own_usage"]
    tally.strict += same and right["strict_usage"]
    if not all(right.values()):
        tally.wrong.append(_wrong(expected, [part for part in PARTS if not right[part]], reading))


def compare(peer: Peer, expected: Expected, reading: dict[str, Any]) -> dict[str, bool]:
    usage = reading["usage"]
    own = expected.verbatim if peer.counts == VERBATIM else expected.inclusive
    return {
        "text": reading["text"] == expected.text,
        "calls": [tuple(call) for call in reading["calls"]] == list(expected.calls),
        "usage": _same(usage, expected.inclusive),
        "own_usage": _same(usage, own),
        "strict_usage": _same(usage, expected.inclusive, strict=True),
    }


def _same(read: Counts | None, expected: Counts | None, *, strict: bool = False) -> bool:
    """As most clients mean it: what was not reported may be 0, unless `strict`; a total counts where there is one."""
    if not read or not any(read.values()):
        return not expected or not any(expected.values())
    return expected is not None and all(
        read[name] == expected[name] or (not strict and not read[name] and not expected[name])
        for name in read
        if name != "total" or read[name] is not None
    )


def _wrong(expected: Expected, parts: list[str], reading: dict[str, Any]) -> dict[str, Any]:
    return {
        "exchange": f"{expected.dialect}:{expected.line}",
        "wrong": parts,
        "read": reading.get("error") or {part: str(reading[part])[:200] for part in _SHOWN if part in parts},
        "says": reading.get("says"),
    }


def total(tallies: Iterable[Tally]) -> Tally:
    whole = Tally()
    for tally in tallies:
        for name in ("answers", "exact", "own", "strict", "raised", "errors", "fitting"):
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
        for part in PARTS:
            whole.right[part] += tally.right[part]
    return whole
