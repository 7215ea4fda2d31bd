"""The peers' figures as an SVG, which the README shows: `python -m benchmarks.plot`.

Written by hand, so that nothing has to be installed for it. Colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .peers import tables

HERE = Path(__file__).parent
FIGURES = HERE / "out" / "peers.json"
PICTURE = HERE.parent / "docs" / "speed.svg"
WIDTH, MARGIN, GAP, COLUMNS = 880, 16, 36, 2
BAR, PITCH, HEAD, LABEL, NUMBER = 12, 18, 30, 136, 64
PANEL = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) / COLUMNS
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 18px; font-weight: 600 } .head { font-weight: 600 } .quiet { fill: #59636e; font-size: 11px }
.number { text-anchor: end; font-variant-numeric: tabular-nums } .us { font-weight: 600 }
rect { fill: #afb8c1 } rect.us { fill: #0969da } rect.raw { fill: #d1d9e0 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .quiet { fill: #9198a1 }
rect { fill: #656c76 } rect.us { fill: #4493f8 } rect.raw { fill: #3d444d }
}
"""
Figures = Mapping[str, Any]
Bar = tuple[str, str, float | None, str]
"""Client, its kind (`us`, `raw` or none), value, and the value as text."""


def panels(run: Figures) -> Iterator[tuple[str, bool, Callable[[float, Sequence[float]], float], list[Bar]]]:
    """(title, whether more is better, how a value becomes a share of the width, bars)."""
    for measure in (
        tables.CALL,
        tables.CONCURRENT,
        tables.CHUNK,
        tables.HELD,
        tables.IMPORT,
        tables.ANSWER,
        tables.STREAM,
        tables.INSTALLED,
    ):
        unit = measure.short.partition("\n")[2].replace("us", "µs")
        bars = [
            (peer["title"], _kind(name), measure.value(peer), measure.text(peer).replace(">=", "≥"))
            for name, peer in run["peers"].items()
        ]
        title = measure.title if measure is tables.HELD else f"{measure.title} ({unit})"
        yield title, measure.more_is_better, logarithmic, bars


def logarithmic(value: float, others: Sequence[float]) -> float:
    """Ten times as much is a fixed step; the smallest bar keeps a visible length."""
    low, high = min(others) / 1.6, max(others)
    return math.log(value / low) / math.log(high / low)


def _kind(name: str) -> str:
    return {"ours": "us", "raw": "raw"}.get(name, "")


def draw(run: Figures) -> str:
    machine = run["machine"]
    pieces = [f'<text class="title" x="{MARGIN}" y="32">What a client costs, on one core</text>']
    pieces.append(
        f'<text class="quiet" x="{MARGIN}" y="50">Log scale. Shorter is better, except where it says longer. '
        "CPU time, medians of alternating rounds on one local upstream.</text>"
    )
    top, bottom = 66.0, 66.0
    for position, (title, more, scale, bars) in enumerate(panels(run)):
        column = position % COLUMNS
        if column == 0:
            top = bottom
        x = MARGIN + column * (PANEL + GAP)
        pieces += _panel(x, top, title + (": longer is better" if more else ""), scale, bars)
        bottom = max(bottom, top + HEAD + len(bars) * PITCH + 14)
    for line in captions(run, machine):
        bottom += 15
        pieces.append(f'<text class="quiet" x="{MARGIN}" y="{bottom:.0f}">{escape(line)}</text>')
    height = bottom + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(spoken(run))}">\n<style>{STYLE}</style>\n'
        + "\n".join(pieces)
        + "\n</svg>\n"
    )


def _panel(
    x: float, y: float, title: str, scale: Callable[[float, Sequence[float]], float], bars: list[Bar]
) -> Iterator[str]:
    yield f'<text class="head" x="{x:.0f}" y="{y + 16:.0f}">{escape(title)}</text>'
    room = PANEL - LABEL - NUMBER
    values = [value for _, _, value, _ in bars if value]
    for row, (name, kind, value, text) in enumerate(bars):
        line = y + HEAD + row * PITCH
        style = f' class="{kind}"' if kind else ""
        yield f'<text{style} x="{x:.0f}" y="{line + 10:.0f}">{escape(name)}</text>'
        if value:
            length = max(scale(value, values) * room, 2)
            yield f'<rect{style} x="{x + LABEL:.0f}" y="{line:.0f}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        yield (f'<text class="number {kind}" x="{x + PANEL:.0f}" y="{line + 10:.0f}">{escape(text)}</text>')


def captions(run: Figures, machine: Figures) -> Iterator[str]:
    cores = f"{machine['cores']} cores" if machine["cores"] else "unknown cores"
    yield f"{machine['date']} · {machine['cpu']}, {cores} · Python {machine['python']}"
    if tables.provisional(run):
        yield f"Provisional: {tables.provisional(run)}."
    versions = [f"{peer['title']} {peer['version']}" for peer in run["peers"].values() if "version" in peer]
    half = (len(versions) + 1) // 2
    yield " · ".join(versions[:half])
    yield " · ".join(versions[half:])


def spoken(run: Figures) -> str:
    """For who does not see the picture."""
    calls = (f"{peer['title']} {tables.CALL.text(peer)}" for peer in run["peers"].values())
    return f"Bar charts of client cost. CPU microseconds for one call: {', '.join(calls)}."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("--json", type=Path, default=FIGURES, help="the figures (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=PICTURE, help="the picture (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.out.write_text(draw(json.loads(options.json.read_text(encoding="utf-8"))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
