"""Which of several deployments behind one name is asked next."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .health import Health


class Candidate(Protocol):
    @property
    def weight(self) -> float: ...

    @property
    def health(self) -> Health: ...

    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=Candidate)


def weighted(candidates: Sequence[C], rng: random.Random) -> C:
    """By chance, in proportion to the weights."""
    return rng.choices(candidates, [c.weight for c in candidates])[0]


def least_busy(candidates: Sequence[C], rng: random.Random) -> C:
    """The fewest requests in flight for its weight; by chance among equals."""
    least = min(c.health.busy / c.weight for c in candidates)
    return weighted([c for c in candidates if c.health.busy / c.weight == least], rng)


def lowest_latency(candidates: Sequence[C], rng: random.Random) -> C:
    """The better of two drawn by weight: so that the fastest is not flooded. One never asked is tried first; one that
    has not answered yet is the worse choice."""
    unknown = [c for c in candidates if not c.health.attempts]
    if unknown:
        return weighted(unknown, rng)
    return min(weighted(candidates, rng), weighted(candidates, rng), key=_expected)


def _expected(candidate: Candidate) -> float:
    latency = candidate.health.latency
    return math.inf if latency is None else latency * (1 + candidate.health.busy)


def sticky(candidates: Sequence[C], value: str) -> C:
    """The same one for the same value, so that a provider's prompt cache is warm; the others' values stay where they
    are when one goes away (weighted rendezvous hashing)."""
    return max(candidates, key=lambda c: -c.weight / math.log(_unit(f"{value}\0{c.name}")))


def _unit(text: str) -> float:
    """A number in (0, 1), always the same for the same text."""
    return (int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") + 1) / (2**64 + 2)


Strategy = Callable[[Sequence[C], random.Random], C]

STRATEGIES = {"weighted": weighted, "least_busy": least_busy, "latency": lowest_latency}
"""The values of the setting `balance`."""
