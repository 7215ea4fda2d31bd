"""Writes the figures of the last runs into `docs/performance.md`: `python -m benchmarks.report`.

The page says in its own words what was measured; every number in it stands between two marks and comes from the JSON
that `make bench`, `make bench-peers` and `python -m benchmarks.caching` left.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .peers import fault_tables, tables

HERE = Path(__file__).parent
BENCH, PEERS, CACHING = (HERE / "out" / f"{name}.json" for name in ("bench", "peers", "caching"))
PAGE = HERE.parent / "docs" / "performance.md"
_BLOCK = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Figures = Mapping[str, Any]


def fill(page: str, bench: Figures, peers: Figures) -> str:
    """The page with its blocks written anew. An unknown block is a `KeyError`."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_BLOCKS[found[2]](bench, peers)}\n{found[3]}", page)


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.replace("-\n", "").split()) for cell in line) + " |" for line in lines
    )


def _machine(bench: Figures, peers: Figures) -> str:
    machine = peers["machine"]
    lines = [
        f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
        f"aiohttp {machine['aiohttp']}, msgspec {machine['msgspec']}."
    ]
    if tables.provisional(peers):
        lines.append(f"These figures are provisional: {tables.provisional(peers)}.")
    return "\n".join(lines)


def _limits(bench: Figures, peers: Figures) -> str:
    rows = []
    for row in bench["rows"]:
        sign = "≥" if row["at_least"] else "≤"
        mark = "yes" if row["ok"] else "**no**"
        rows.append([row["name"], f"{row['value']:g} {row['unit']}", f"{sign} {row['limit']:g} {row['unit']}", mark])
    return grid(["measure", "measured", "must reach", ""], rows)


def _short(bench: Figures, peers: Figures) -> str:
    missed = [row for row in bench["rows"] if not row["ok"]]
    if not missed:
        return "In this run, nothing of what must be reached."
    return "\n".join(
        f"- {row['name']}: {row['value']:g} {row['unit']}, where {row['limit']:g} must be reached." for row in missed
    )


def _of(measures: Sequence[tables.Measure]) -> Callable[[Figures, Figures], str]:
    def block(bench: Figures, peers: Figures) -> str:
        header, rows = tables.measure_rows(peers, measures)
        return grid(["", *header[1:]], rows)

    return block


def _modes(bench: Figures, peers: Figures) -> str:
    rows = [
        [peer["title"], peer["version"], peer["mode"], f"`{peer['statement']}`"] for peer in peers["peers"].values()
    ]
    return grid(["client", "version", "asked by", "imported by"], rows)


def _reading(bench: Figures, peers: Figures) -> str:
    if not peers["reading"]:
        return "The recordings were not at hand in this run."
    return grid(["", *tables.READING[1:]], tables.reading_rows(peers)) + "\n\n" + grid(*tables.group_rows(peers))


def _parts(name: str) -> Callable[[Figures, Figures], str]:
    def block(bench: Figures, peers: Figures) -> str:
        whole = peers["parts"][name]
        rows = [
            [room, f"{cost:.2f}", f"{cost / whole['us']:.0%}"]
            for room, cost in whole["parts"].items()
            if cost / whole["us"] >= 0.005
        ]
        return grid(["", "us", "share"], [*rows, ["all", f"{whole['us']:.2f}", f"{whole['samples']} samples"]])

    return block


def _failures(bench: Figures, peers: Figures) -> str:
    if not peers["failures"]:
        return "No measure failed."
    lines = (f"- {peers['peers'][name]['title']}: {'; '.join(texts)}" for name, texts in peers["failures"].items())
    return "\n".join(lines)


def _faults(name: str) -> Callable[[Figures, Figures], str]:
    def block(bench: Figures, peers: Figures) -> str:
        if not peers.get("faults"):
            return "The faults were not met in this run."
        return grid(*_FAULTS[name](peers["faults"]))

    return block


def _fault_modes(figures: Figures) -> tuple[Sequence[str], list[list[str]]]:
    rows = [[peer["title"], peer["version"], peer["mode"]] for peer in figures["peers"].values()]
    return ["client", "version", "asked by"], rows


_FAULTS: dict[str, Callable[[Figures], tuple[Sequence[str], Sequence[Sequence[str]]]]] = {
    "modes": _fault_modes,
    "ends": lambda figures: (fault_tables.SUMMARY, fault_tables.summary_rows(figures)),
    "kinds": lambda figures: (fault_tables.KINDS, fault_tables.kind_rows(figures)),
    "bad": fault_tables.bad_rows,
}


def _caching(bench: Figures, peers: Figures) -> str:
    rows = [[row["name"], f"{row['us']:,g} us"] for row in bench["caching"]["rows"] if row["name"].startswith("hit")]
    missing = [f"Not measured: {text}." for text in bench["caching"].get("missing", ())]
    return "\n".join([grid(["", "CPU"], rows), *missing])


_BLOCKS: dict[str, Callable[[Figures, Figures], str]] = {
    "machine": _machine,
    "limits": _limits,
    "short": _short,
    "speed": _of(tables.SPEED),
    "weight": _of(tables.WEIGHT),
    "modes": _modes,
    "reading": _reading,
    "call": _parts("call"),
    "chunk": _parts("chunk"),
    "failures": _failures,
    "faults": _faults("ends"),
    "fault-kinds": _faults("kinds"),
    "fault-modes": _faults("modes"),
    "fault-cells": _faults("bad"),
    "caching": _caching,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--bench", type=Path, default=BENCH, help="the figures of `make bench` (default: %(default)s)")
    parser.add_argument("--peers", type=Path, default=PEERS, help="those of `make bench-peers` (default: %(default)s)")
    parser.add_argument("--caching", type=Path, default=CACHING, help="those of the cache (default: %(default)s)")
    options = parser.parse_args(arguments)
    bench, peers, caching = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for path in (options.bench, options.peers, options.caching)
    )
    bench["caching"] = caching
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), bench, peers), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
