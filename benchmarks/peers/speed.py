"""The measures that are taken in alternating rounds, and those that each worker takes alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .process import PeerError, Worker

Figures = dict[str, Any]
Say = Callable[[str], None]

TOLERANCE = 1.15
"""How much longer than the ideal time a held stream may take."""
BUSY = 0.85
"""The share of a core from which on a client is said to be at its limit."""
WAKE_UP_US = 15.0
"""About what it costs to wait for the network once, whoever waits."""


def rounds(
    workers: Iterable[Worker], number: int, command: Mapping[str, Any]
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """(worker -> microseconds in each round, worker -> why it was left out). Each has its turn in every round."""
    taken: dict[str, list[float]] = {worker.name: [] for worker in workers}
    failures: dict[str, str] = {}
    for _ in range(number):
        for worker in workers:
            if worker.name not in failures:
                try:
                    taken[worker.name].append(worker.ask(**command)["us"])
                except PeerError as failure:
                    failures[worker.name] = str(failure)
    return {name: values for name, values in taken.items() if name not in failures}, failures


def beside(taken: dict[str, list[float]], floor: str) -> dict[str, Figures]:
    """Medians, and how many times the floor's they are: the median of the rounds' ratios."""
    base = taken.get(floor)
    return {
        name: {
            "us": statistics.median(values),
            "ratio": statistics.median(v / b for v, b in zip(values, base, strict=True)) if base else None,
            "rounds": [round(value, 2) for value in values],
        }
        for name, values in taken.items()
    }


def held(worker: Worker, chunk_us: float, tokens: int, seconds: float, say: Say) -> Figures:
    """How many streams of 50 tokens a second the worker keeps up with: upwards from a third of what the cost of a chunk
    promises, then between the last that went and the first that did not, until they are near or `seconds` are over.

    A failure counts as the client's when its core was busy; else the machine was in the way, and it may try again.
    `bounded` says whether the client's own limit was found.
    """
    ideal = tokens / 50
    width = _rounded(0.33 / (50 * (chunk_us + WAKE_UP_US) * 1e-6))
    best, over, bounded = 0, 0, False
    steps: list[Figures] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        say(f"{worker.name}: {width} streams")
        answer = worker.ask("hold", width=width, tokens=tokens, within=ideal * 2 + 5)
        steps.append({"streams": width, "p95_s": answer["p95"], "cpu": round(answer["cpu"], 2)})
        if answer["p95"] is not None and answer["p95"] <= ideal * TOLERANCE:
            best = width
        elif answer["cpu"] < BUSY and [step["streams"] for step in steps].count(width) == 1:
            continue
        else:
            over, bounded = width, answer["cpu"] >= BUSY
        if over and over - best <= max(2, 0.07 * over):
            break
        width = _rounded((best + over) / 2) if over else _rounded(best * 1.5)
        if width in (best, over):
            break
    return {"streams": best, "ideal_s": ideal, "steps": steps, "bounded": bounded}


def _rounded(width: float) -> int:
    """To two digits: more would say more than was measured."""
    digits = max(len(str(int(width))) - 2, 0)
    return max(int(round(width, -digits)), 2)
