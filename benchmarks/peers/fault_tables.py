"""What came of the faults, as rows of text, for the terminal and for `docs/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from .faults import CRASHED, ERROR, HUNG, SURVIVED, WRONG, refusal
from .tables import NONE, table

Found = Mapping[str, Any]
"""One trial."""
Figures = Mapping[str, Any]
"""Those of the faults: what is under `faults` in the JSON."""
SUMMARY = ["", "asked", "trials", "sur-\nvived", ERROR, WRONG, "crash-\ned", HUNG]
KINDS = ["", "asked", "one\nfailure", "mere\noddity", "refusal\nrepeated", "longest\ns"]
MODES = ((False, "whole"), (True, "stream"))


def summary_rows(figures: Figures) -> list[list[str]]:
    """A row for each client and mode: how its trials ended."""
    rows = []
    for title, mode, trials in _groups(figures):
        ends = [sum(found["verdict"] == verdict for found in trials) for verdict in (SURVIVED, ERROR, WRONG, CRASHED)]
        hung = sum(found["verdict"] == HUNG for found in trials)
        unseen = sum(found["verdict"] == WRONG and bool(found["given"].get("finish")) for found in trials)
        counts = [*map(str, ends), str(hung)]
        if ends[2]:
            counts[2] = f"{ends[2]} ({unseen})"
        rows.append([title, mode, str(len(trials)), *counts])
    return rows


def kind_rows(figures: Figures) -> list[list[str]]:
    """The same by what a client can do about it: ask again, not mind, leave it at that."""
    rows = []
    for title, mode, trials in _groups(figures):
        passing = [found for found in trials if found["effect"] == "passing" and found["once"]]
        odd = [found for found in trials if found["effect"] == "harmless"]
        refused = [found for found in trials if refusal(found)]
        again = sum(found["requests"] > 1 for found in refused)
        longest = max(found["seconds"] or 0.0 for found in trials)
        rows.append([title, mode, _survived(passing), _survived(odd), f"{again}/{len(refused)}", f"{longest:.1f}"])
    return rows


def bad_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """(header, rows): the faults with which any client was wrong, crashed or hung, and what all of them did."""
    by_peer = [
        {(found["spec"], found["stream"], found["once"]): found["verdict"] for found in peer["trials"]}
        for peer in figures["peers"].values()
    ]
    asked = dict.fromkeys((spec, stream) for verdicts in by_peer for spec, stream, _ in verdicts)
    rows = []
    for spec, stream in asked:
        ends = [(verdicts.get((spec, stream, False)), verdicts.get((spec, stream, True))) for verdicts in by_peer]
        if any(verdict in (WRONG, CRASHED, HUNG) for pair in ends for verdict in pair):
            rows.append([f"`{spec}`", dict(MODES)[stream], *(_words(*pair) for pair in ends)])
    return ["fault", "asked", *(peer["title"] for peer in figures["peers"].values())], rows


def tables(figures: Figures) -> list[Table]:
    header, rows = bad_rows(figures)
    return [
        table("The simulator's faults: how the calls ended", SUMMARY, summary_rows(figures)),
        table("The same by what a client can do", KINDS, kind_rows(figures)),
        table("Wrong, crashed or hung", header, [[row[0].strip("`"), *row[1:]] for row in rows]),
    ]


def _groups(figures: Figures) -> list[tuple[str, str, list[Found]]]:
    return [
        (peer["title"], name, [found for found in peer["trials"] if found["stream"] == stream])
        for peer in figures["peers"].values()
        for stream, name in MODES
    ]


def _survived(trials: Sequence[Found]) -> str:
    return f"{sum(found['verdict'] == SURVIVED for found in trials)}/{len(trials)}"


def _words(always: str | None, once: str | None) -> str:
    """How it ended when every request failed, and when only the first did, if that is another end."""
    if once is None or once == always:
        return always or NONE
    return f"{always} / {once}"
