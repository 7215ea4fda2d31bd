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
    """The better of two drawn by weight: so that the fastest is not flooded. One never asked is tried first."""
    unknown = [c for c in candidates if c.health.latency is None and not c.health.busy]
    if unknown:
        return weighted(unknown, rng)
    first, second = weighted(candidates, rng), weighted(candidates, rng)
    return min(first, second, key=lambda c: (c.health.latency or 0.0) * (1 + c.health.busy))


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
