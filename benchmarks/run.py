"""`make bench`: the speed table, as a table on the terminal and as JSON. `--quick` for a look, not for a verdict."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import cores, measures, upstream
from .measures import Row

OUT = Path(__file__).parent / "out" / "bench.json"


def facts() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "python": platform.python_version(),
        **{name: version(name) for name in ("multi-llm-wrapper", "aiohttp", "msgspec")},
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


async def _measure(base_url: str, quick: bool, say: Any) -> list[Row]:
    rounds = 3 if quick else 11
    rows: list[Row] = []
    say("memory per stream")  # first, while no memory of other measures is there to be used again
    rows.append(await measures.stream_memory(base_url))
    say("calls beside raw aiohttp")
    rows += await measures.calls(base_url, rounds, 400 if quick else 1280)
    say("streamed chunks in bulk")
    rows.append(await measures.bulk_stream(base_url, rounds))
    say("streams held at 50 tokens/s")
    steps = (200, 400) if quick else (400, 600, 800, 1000, 1200)
    rows.append(await measures.held_streams(base_url, steps, 100 if quick else 250))
    say("large sizes")
    rows += await measures.sizes(base_url)
    return rows


def table(rows: list[Row]) -> Table:
    result = Table(title="multi_llm_wrapper, CPU time on one core, shipped defaults without caching")
    result.add_column("measure")
    result.add_column("measured", justify="right")
    result.add_column("must reach", justify="right")
    result.add_column()
    for row in rows:
        sign = ">=" if row.at_least else "<="
        mark = "[green]yes[/]" if row.ok else "[red]NO[/]"
        result.add_row(row.name, f"{row.value:g} {row.unit}", f"{sign} {row.limit:g} {row.unit}", mark)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a verdict")
    parser.add_argument("--json", type=Path, default=OUT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args()
    console = Console()
    machine = facts()
    _, core = cores.split()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with upstream.running(core) as base_url, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        rows = asyncio.run(_measure(base_url, options.quick, lambda what: progress.update(task, description=what)))
        progress.update(task, description="imports")
        rows += measures.imports(3 if options.quick else 9)
    console.print(table(rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(measures.to_json(rows, machine), encoding="utf-8")
    console.print(f"Figures: {options.json}", soft_wrap=True)
    return 0 if options.quick or all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
