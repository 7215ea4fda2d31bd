"""How long a provider takes: log-normal waits given by median and p99, with rare stalls; all by the dice.

    Timing.of("together-llama2-70b")                       # a preset
    Timing.of("first=300/900 gap=20/60 stall=0.001/2000")  # milliseconds: median/p99, share/length
    Timing(first=Wait(0.3, 0.9), gap=Wait(0.02, 0.06))     # seconds

Latencies are skewed: most are near the median, few are many times longer, none is below zero. A log-normal has this
shape; what it cannot have (one wait in a thousand that is a hundred times longer) is a stall.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from math import exp, isfinite, log
from statistics import NormalDist

from msgspec import Struct

from .dice import Dice

HEADER = "x-sim-timing"
"""A request header that sets the timing of its reply."""

MAX_SECONDS = 86_400.0

_STEPS = 4096  # quantiles of the normal distribution that are told apart; the rarest is one in 8,192
_Z99 = NormalDist().inv_cdf(0.99)


class Wait(Struct, frozen=True):
    """A random wait, in seconds. A median of 0 is none at all, `p99` of 0 means that all are as long as the median."""

    median: float = 0.0
    p99: float = 0.0
    stall_share: float = 0.0
    """How many of all waits are longer by `stall`, from 0 to 1."""
    stall: float = 0.0

    def __post_init__(self) -> None:
        for name in ("median", "p99", "stall"):
            value = getattr(self, name)
            if not (isfinite(value) and 0 <= value <= MAX_SECONDS):
                raise ValueError(f"{name} is {value} s; it must be from 0 to {MAX_SECONDS:g}")
        if not 0 <= self.stall_share <= 1:
            raise ValueError(f"stall_share is {self.stall_share}; it must be from 0 to 1")
        if self.p99 and self.p99 < self.median:
            raise ValueError(f"p99 ({self.p99} s) is less than the median ({self.median} s)")
        if self.p99 and not self.median:
            raise ValueError("p99 without a median; give both")

    @property
    def constant(self) -> bool:
        return self.p99 in (0.0, self.median) and not self.stall_share

    def sample(self, dice: Dice) -> float:
        """The next wait."""
        wait = self.median
        if self.p99 not in (0.0, wait):
            wait = _quantiles(wait, self.p99)[dice.below(_STEPS)]
        if self.stall_share and dice.below(1_000_000) < self.stall_share * 1_000_000:
            wait += self.stall
        return wait

    def quantile(self, share: float) -> float:
        """The wait that this share of all (above 0, below 1) does not exceed, stalls left out."""
        return self.median * exp(_sigma(self.median, self.p99) * NormalDist().inv_cdf(share)) if self.median else 0.0


def _sigma(median: float, p99: float) -> float:
    return log(p99 / median) / _Z99 if p99 > median > 0 else 0.0


@lru_cache(maxsize=1)
def _normal() -> array[float]:
    normal = NormalDist()
    return array("d", [normal.inv_cdf((i + 0.5) / _STEPS) for i in range(_STEPS)])


@lru_cache(maxsize=256)
def _quantiles(median: float, p99: float) -> array[float]:
    """Drawing from a table costs a tenth of what the formula does."""
    sigma = _sigma(median, p99)
    return array("d", [median * exp(sigma * z) for z in _normal()])


class Timing(Struct, frozen=True):
    """The time before the first token, and before each that follows."""

    first: Wait = Wait()
    gap: Wait = Wait()

    @classmethod
    def of(cls, text: str) -> Timing:
        """A preset's name, or `first=MEDIAN[/P99] gap=MEDIAN[/P99] stall=SHARE/LENGTH first_stall=SHARE/LENGTH` in
        milliseconds, each part optional. Raises `ValueError` that says what is wrong with it."""
        name = text.strip().lower()
        return PRESETS[name] if name in PRESETS else _parse(text)


def _parse(text: str) -> Timing:
    found: dict[str, tuple[float, float]] = {}
    for part in text.replace(",", " ").split():
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no timing; {_usage(part)}")
        found[match[1]] = float(match[2]), float(match[3] or 0)
    waits = []
    for name, stall in (("first", "first_stall"), ("gap", "stall")):
        median, p99 = found.get(name, (0.0, 0.0))
        share, length = found.get(stall, (0.0, 0.0))
        waits.append(Wait(median / 1000, p99 / 1000, share, length / 1000))
    return Timing(*waits)


_PART = re.compile(r"(first|gap|stall|first_stall)=(\d{1,9}(?:\.\d{1,9})?)(?:/(\d{1,9}(?:\.\d{1,9})?))?", re.ASCII)


def _usage(part: str) -> str:
    near = get_close_matches(part.lower(), PRESETS, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Write first=300/900 gap=20/60 (milliseconds, median/p99), or one of {', '.join(PRESETS)}."


# Llama 2 with 550 tokens in, 150 out, five requests at a time, December 2023 and January 2024, from the summaries in
# https://github.com/ray-project/llmperf-leaderboard/tree/main/raw_data/summary (Apache-2.0). First tokens are its
# ttft_s p50/p99. Its inter_token_latency_s is one mean a request with the first token in it, so the gap's median is
# (end_to_end p50 - ttft p50) / (output_tokens p50 - 1), and the ratio p99/median of the means stands in for that of
# single gaps, which nobody published: real single gaps spread more.
PRESETS: dict[str, Timing] = {
    "zero": Timing(),
    "groq-llama2-70b": Timing(Wait(0.222, 0.350), Wait(0.0039, 0.0048)),
    "anyscale-llama2-7b": Timing(Wait(0.204, 0.456), Wait(0.0183, 0.0202)),
    "together-llama2-70b": Timing(Wait(0.635, 0.871), Wait(0.0116, 0.0174)),
    "perplexity-llama2-70b": Timing(Wait(0.366, 0.659), Wait(0.0307, 0.0383)),
    "bedrock-llama2-70b": Timing(Wait(0.388, 0.687), Wait(0.0440, 0.0510)),
    # One first token in ten took 12 s or more (p90 12.3, p95 24.2, p99 63.6): the body is fitted to p75, a stall does
    # the rest
    "replicate-llama2-70b": Timing(Wait(1.188, 4.10, 0.10, 20.0), Wait(0.0881, 0.0881)),
}
"""Fitted to public measurements; the name says whose."""

Timings = Timing | str | Mapping[str, Timing | str]
"""One for all models, or by model name with `*` and `?`; the first that fits counts."""


class TimingTable:
    """Which model has which timing."""

    def __init__(self, timings: Timings | None) -> None:
        rows = timings.items() if isinstance(timings, Mapping) else () if timings is None else (("*", timings),)
        self._rows = [(pattern, Timing.of(t) if isinstance(t, str) else t) for pattern, t in rows]

    def find(self, model: str) -> Timing | None:
        for pattern, timing in self._rows:
            if fnmatchcase(model, pattern):
                return timing
        return None


class Pacer:
    """The waits of one reply, token after token."""

    __slots__ = ("_begun", "_dice", "_timing")

    def __init__(self, timing: Timing, dice: Dice) -> None:
        self._timing = timing
        self._dice = dice
        self._begun = False

    def tokens(self, count: int) -> float:
        """Seconds that the next `count` tokens take. Before the first there is the first wait, also when none come."""
        total = 0.0
        if not self._begun:
            self._begun = True
            total = self._timing.first.sample(self._dice)
            count -= 1
        if count <= 0:
            return total
        gap = self._timing.gap
        if gap.constant:
            return total + gap.median * count
        return total + sum(gap.sample(self._dice) for _ in range(count))
