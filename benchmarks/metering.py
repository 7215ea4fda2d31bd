"""What counting costs: `python -m benchmarks.metering`. CPU time of this process, medians of interleaved rounds.

Then ten million calls are recorded, of many models, with tags, failures and streams, and the memory of the process is
measured before and after; `--calls` says how many.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from multi_llm_wrapper.account import Account, Attempt
from multi_llm_wrapper.metering.histogram import Histogram
from multi_llm_wrapper.metering.meter import Meter
from multi_llm_wrapper.metering.prices import Prices
from multi_llm_wrapper.metering.record import NO_TAGS, Record, Share
from multi_llm_wrapper.response import Facts
from multi_llm_wrapper.types import Reply, Usage

from .run import facts

OUT = Path(__file__).parent / "out" / "metering.json"
USAGE = Usage(900, 210, 1110, 512, 0, 64)
COST = Decimal("0.000261")

Work = Callable[[], object]


@dataclass
class Row:
    """One line of the table: `value` in `unit`, which must not be above `limit` where there is one."""

    name: str
    value: float
    unit: str
    limit: float | None
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.limit is None or self.value <= self.limit


def call(*shares: Share, **more: Any) -> Record:
    """A record of a call of one second, answered by the last of `shares`."""
    last = shares[-1]
    known: dict[str, Any] = {"timestamp": 0.0, "status": "success", "response_time": 1.0, "usage": last.usage} | more
    return Record(asked=last.model, provider=last.provider, model=last.model, shares=list(shares), **known)


def kinds() -> dict[str, tuple[Record, float]]:
    """A call of each kind, with the microseconds that it may take."""
    plain = Share("openai", "gpt-4o-mini", 1.0, USAGE, COST)
    streamed = Share("openai", "gpt-4o-mini", 1.0, USAGE, COST, first_token=0.3)
    failed = Share("groq", "llama-3.3-70b", 0.4, error_type="overloaded", attempts=2)
    return {
        "one provider": (call(plain), 3.0),
        "one provider, streamed": (call(streamed, streamed=True), 3.0),
        "one provider, failed": (call(failed, status="error", error_type="overloaded"), 3.0),
        "one provider, a tag": (call(plain, tags={"team": "search"}), 5.0),
        "two providers, streamed, two tags": (call(failed, streamed, tags={"team": "search", "env": "prod"}), 5.0),
        "cache hit": (call(plain, cached=True), 3.0),
    }


def booking() -> Work:
    """All that is done for the books when a usual call has ended: its cost, its record, the totals."""
    prices, meter = Prices(threaded=False), Meter()
    prices.start()
    account, reply = Account(prices, "gpt-4o-mini", streamed=False), Reply(content="Paris.", finish_reason="stop")
    reply.usage, reply.response_model, reply.extras = USAGE, "gpt-4o-mini-2024-07-18", {"service_tier": "default"}
    reply.raw_usage = {
        "prompt_tokens": 900,
        "completion_tokens": 210,
        "total_tokens": 1110,
        "prompt_tokens_details": {"cached_tokens": 512, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0},
    }
    account.attempts.append(Attempt("openai", "gpt-4o-mini", 1.0))
    facts = Facts("openai", "gpt-4o-mini", 1_790_000_000.0, 1.0, attempts=1)

    def work() -> None:
        meter.record(account.close(facts, "success", reply, None))

    work()
    if facts.cost is None:
        raise RuntimeError("genai-prices is not there; make its environment with `make`")
    return work


def cost(work: Work, calls: int) -> float:
    """Microseconds of CPU for one."""
    started = time.process_time()
    for _ in itertools.repeat(None, calls):
        work()
    return (time.process_time() - started) / calls * 1e6


def costs(rounds: int, calls: int) -> list[Row]:
    meter, histogram = Meter(), Histogram()
    works: dict[str, tuple[Work, float | None]] = {
        f"record: {name}": (partial(meter.record, record), limit) for name, (record, limit) in kinds().items()
    }
    works["booking a call: cost, record, totals"] = (booking(), 5.0)
    works["one time into a histogram"] = (partial(histogram.record, 0.812), 0.4)
    works["response_times() of one model"] = (partial(meter.response_times, "openai"), None)
    works["get_usage_stats() of two models"] = (meter.stats, None)
    figures: dict[str, list[float]] = {name: [] for name in works}
    for _, (name, (work, _)) in itertools.product(range(rounds), works.items()):
        figures[name].append(cost(work, calls if "(" not in name else calls // 100))
    return [
        Row(name, round(statistics.median(figures[name]), 2), "us", limit, {"rounds": _rounded(figures[name])})
        for name, (_, limit) in works.items()
    ]


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 2) for value in values]


def traffic(size: int = 5000) -> list[Record]:
    """Calls as a service has them: 120 models, 50 tags, one failure in twenty, half of them streams."""
    draw = random.Random(7)

    def one() -> Record:
        provider, model, seconds = draw.choice("abc"), f"model-{draw.randrange(40)}", draw.lognormvariate(0.5, 0.8)
        failed = draw.random() < 0.05
        share = Share(
            provider,
            model,
            seconds,
            None if failed else Usage(draw.randrange(10_000), draw.randrange(1000), None, draw.randrange(500)),
            None if failed else Decimal(draw.randrange(10**6)).scaleb(-9),
            draw.choice(["timeout", "overloaded", "rate_limit"]) if failed else None,
            draw.choice([1, 1, 1, 2, 3]),
            first_token=seconds * draw.random() if draw.random() < 0.5 else None,
        )
        tags = {"team": f"team-{draw.randrange(50)}"} if draw.random() < 0.2 else NO_TAGS
        return call(share, response_time=seconds, tags=tags, status="error" if failed else "success")

    return [one() for _ in range(size)]


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def growth(calls: int) -> list[Row]:
    """Resident memory over all of `calls`, and every allocation over a twentieth of them, for tracing is slow."""
    records, meter = traffic(), Meter()

    def grown(size: Callable[[], int], calls: int) -> float:
        """In KB; counters are warm, since there are five records of a kind and all come again and again."""
        _repeat(meter, records, 100_000)
        before = size()
        _repeat(meter, records, calls)
        return round((size() - before) / 1024, 1)

    started = time.process_time()
    resident_ = grown(resident, calls)
    seconds = time.process_time() - started
    tracemalloc.start()
    traced_ = grown(traced, calls // 20)
    tracemalloc.stop()
    detail = {"cpu_seconds": round(seconds, 1), "requests": sum(one["requests"] for one in meter.stats().values())}
    return [
        Row(f"resident memory grown by {calls:,} calls", resident_, "KB", 64.0, detail),
        Row(f"objects grown by {calls // 20:,} calls", traced_, "KB", 16.0),
    ]


def _repeat(meter: Meter, records: list[Record], calls: int) -> None:
    record = meter.record
    for one in itertools.islice(itertools.cycle(records), calls):
        record(one)


def table(rows: list[Row]) -> Table:
    found = Table(title="Counting in multi_llm_wrapper, CPU time on one core")
    found.add_column("measure")
    for name in ("measured", "must reach", ""):
        found.add_column(name, justify="right")
    for row in rows:
        limit = "" if row.limit is None else f"<= {row.limit:g} {row.unit}"
        mark = "" if row.limit is None else "[green]yes[/]" if row.ok else "[red]NO[/]"
        found.add_row(row.name, f"{row.value:g} {row.unit}", limit, mark)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metering", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000_000, help="calls to record (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a verdict")
    parser.add_argument("--json", type=Path, default=OUT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args()
    rows = [*costs(5 if options.quick else 21, 5_000 if options.quick else 20_000), *growth(options.calls)]
    console = Console()
    console.print(table(rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    figures = [{**vars(row), "ok": row.ok} for row in rows]
    options.json.write_text(json.dumps({"machine": facts(), "rows": figures}, indent=2), encoding="utf-8")
    console.print(f"Figures: {options.json}", soft_wrap=True)
    return 0 if options.quick or all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
