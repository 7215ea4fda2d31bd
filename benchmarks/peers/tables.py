"""The figures of a run as rows of text, for the terminal and for `docs/`; those of the faults are in `fault_tables`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

Figures = Mapping[str, Any]
NONE = "-"
BUSY = 1.0
"""A load average before a run from which on others were at work, so that its figures are no verdict."""


@dataclass(frozen=True)
class Measure:
    title: str
    short: str
    """With its unit, for the head of a column."""
    value: Callable[[Figures], float | None]
    more_is_better: bool = False
    whole: bool = False

    def text(self, figures: Figures) -> str:
        value = self.value(figures)
        if value is None:
            return NONE
        unknown_end = self is HELD and not figures["held"]["bounded"]
        return f"{'>= ' if unknown_end else ''}{f'{value:,.0f}' if self.whole else number(value)}"


def provisional(run: Figures) -> str:
    """Why the figures are no verdict, in a few words; "" when nothing speaks against them."""
    load = run["machine"].get("load_before") or 0.0
    reasons = (
        f"the machine had other work (load average {load})" if load > BUSY else "",
        "a quick run, with few rounds" if run["quick"] else "",
    )
    return " and ".join(filter(None, reasons))


def number(value: float) -> str:
    """Three digits, as nothing here is known better, and thousands with a comma."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _at(*path: str, scale: float = 1.0) -> Callable[[Figures], float | None]:
    def value(figures: Figures) -> float | None:
        found: Any = figures
        for name in path:
            found = (found or {}).get(name)
        return None if found is None else float(found) * scale

    return value


CALL = Measure("One call at a time", "call\nus", _at("call", "us"))
CALL_RATIO = Measure("One call at a time, beside raw", "x\nraw", _at("call", "ratio"))
CONCURRENT = Measure("64 calls at once, each", "of 64\nus", _at("concurrent", "us"))
CONCURRENT_RATIO = Measure("64 calls at once, beside raw", "x\nraw", _at("concurrent", "ratio"))
CHUNK = Measure("Streamed chunk, in bulk", "chunk\nus", _at("chunk", "us"))
HELD = Measure(
    "Streams at 50 tokens/s on a core", "streams\nheld", _at("held", "streams"), more_is_better=True, whole=True
)
IMPORT = Measure("Import, above a bare interpreter", "import\nms", _at("import_ms"))
ANSWER = Measure("From nothing to the first answer", "answer\nms", _at("answer_ms"))
MADE = Measure("Memory with a client made", "client\nMB", _at("memory", "made", scale=1e-6))
ANSWERED = Measure("Memory after the first answer", "ready\nMB", _at("memory", "answered", scale=1e-6))
STREAM = Measure("Memory of an open stream", "stream\nKB", _at("stream_bytes", scale=1e-3))
INSTALLED = Measure("Installed, with bytecode", "disk\nMB", _at("installed_bytes", scale=1e-6))
DISTRIBUTIONS = Measure("Distributions installed", "pack-\nages", _at("distributions"), whole=True)
SPEED = (CALL, CALL_RATIO, CONCURRENT, CONCURRENT_RATIO, CHUNK, HELD)
WEIGHT = (IMPORT, ANSWER, MADE, ANSWERED, STREAM, INSTALLED, DISTRIBUTIONS)


def measure_rows(run: Figures, measures: Sequence[Measure]) -> tuple[list[str], list[list[str]]]:
    """(header, rows): a row for each client and a column for each measure."""
    rows = [[peer["title"], *(measure.text(peer) for measure in measures)] for peer in run["peers"].values()]
    return ["", *(measure.short for measure in measures)], rows


READING = ["", "answers", "exact", "own\nusage", "unknown\nkept", "raised", "errors"]


def reading_rows(run: Figures) -> list[list[str]]:
    """A row for each client: exchanges, and how many were read right by which measure."""
    rows = []
    for name, tallies in run["reading"].items():
        total = tallies["total"]
        counts = [str(total[key]) for key in ("exact", "own", "strict", "raised")]
        errors = _share(total["fitting"], total["errors"])
        rows.append([run["peers"][name]["title"], str(total["answers"]), *counts, errors])
    return rows


def group_rows(run: Figures) -> tuple[list[str], list[list[str]]]:
    """(header, rows): read exactly, a row for each client and a column for each group of recordings."""
    groups = list(dict.fromkeys(group for tallies in run["reading"].values() for group in tallies["groups"]))
    rows = []
    for name, tallies in run["reading"].items():
        cells = [tallies["groups"].get(group) for group in groups]
        rows.append(
            [run["peers"][name]["title"], *(NONE if c is None else _share(c["exact"], c["answers"]) for c in cells)]
        )
    return ["", *(group.replace("_", "\n", 1).replace("_", " ") for group in groups)], rows


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole}"


def tables(run: Figures) -> list[Table]:
    found = [
        table("CPU time on one core, medians of alternating rounds", *measure_rows(run, SPEED)),
        table("What it takes to have it", *measure_rows(run, WEIGHT)),
    ]
    if run["reading"]:
        found.append(table("Recorded exchanges, read over HTTP", READING, reading_rows(run)))
        found.append(table("Read exactly, by protocol", *group_rows(run)))
    return found


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(header):
        made.add_column(name, justify="right" if position else "left", no_wrap=not position)
    for row in rows:
        made.add_row(*row)
    return made
