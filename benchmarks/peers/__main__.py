"""`make bench-peers`: other clients beside ours, as tables on the terminal and as JSON; then the pages that show them.

`--quick` for a look, not for a verdict: few rounds, and nothing is written to `docs/`. `--faults` meets the faults
alone, and puts what came of them into the figures of the last run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .. import cores, parts, plot, report, upstream
from ..run import facts
from . import environments, expected, fault_tables, faults, reading, speed, starts, tables
from .faults import Count
from .process import PeerError, Worker, replaying
from .roster import OURS, PEERS, RAW, Peer
from .speed import Figures, Say

OUT = Path(__file__).parents[1] / "out" / "peers.json"


class Run:
    """One run: figures by peer, and what could not be measured."""

    def __init__(self, peers: Sequence[Peer], quick: bool, say: Say) -> None:
        self.peers, self.quick, self.say = peers, quick, say
        self.figures: dict[str, Figures] = {}
        self.reading: dict[str, Any] = {}
        self.faults: dict[str, Any] = {}
        self.parts: dict[str, Any] = {}
        self.failures: dict[str, list[str]] = {}

    def prepare(self) -> None:
        """A client that cannot be installed is left out."""
        for peer in self.peers:
            with self._noting(peer.name):
                for name in filter(None, (peer.name, peer.reads_in)):
                    self.say(f"environment {name}")
                    environments.ensure(name)
                size, distributions = environments.size(peer.name)
                self.figures[peer.name] = {
                    "version": environments.version(peer.name, peer.distribution),
                    "installed_bytes": size,
                    "distributions": distributions,
                }
        self.peers = [peer for peer in self.peers if peer.name in self.figures]

    def measure(self, url: str) -> None:
        with ExitStack() as stack:
            workers = {
                peer.name: stack.enter_context(Worker(peer.name, peer.adapter, url, peer.environment))
                for peer in self.peers
            }
            self._memory(workers)
            if OURS.name in self.failures:
                return
            live = [worker for name, worker in workers.items() if "memory" in self.figures[name]]
            self._rounds(live)
            for worker in live:
                self._held(worker)
        self._starts(url)
        self.say("where the time goes")
        self.parts = asyncio.run(parts.measure(f"{url}/v1", 2.0 if self.quick else 6.0))

    def _memory(self, workers: dict[str, Worker]) -> None:
        """While the processes are young: later they hold memory that they no longer need."""
        width = 100 if self.quick else 200
        for name, worker in workers.items():
            self.say(f"{name}: memory")
            with self._noting(name):
                self.figures[name]["memory"] = worker.ask("open")
                self.figures[name]["stream_bytes"] = worker.ask("memory", width=width)["bytes"]

    def _rounds(self, workers: list[Worker]) -> None:
        rounds, seconds = (3, 0.1) if self.quick else (9, 0.3)
        commands: dict[str, dict[str, Any]] = {
            "call": {"do": "calls", "width": 1, "seconds": seconds},
            "concurrent": {"do": "calls", "width": 64, "seconds": seconds},
            "chunk": {"do": "bulk", "chunks": 500 if self.quick else 2000, "seconds": seconds},
        }
        for key, command in commands.items():
            self.say(f"{key}, {rounds} rounds")
            taken, failures = speed.rounds(workers, rounds, command)
            for name, failure in failures.items():
                self._note(name, failure)
            for name, figures in speed.beside(taken, RAW.name).items():
                self.figures[name][key] = figures

    def _held(self, worker: Worker) -> None:
        figures = self.figures[worker.name]
        tokens, seconds = (50, 10.0) if self.quick else (150, 30.0)
        if "chunk" in figures:
            with self._noting(worker.name):
                figures["held"] = speed.held(worker, figures["chunk"]["us"], tokens, seconds, self.say)

    def _starts(self, url: str) -> None:
        rounds = 1 if self.quick else 3
        self.say(f"starts, {rounds} rounds")
        taken: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in self.peers}
        for _ in range(rounds + 1):
            for peer in self.peers:
                with self._noting(peer.name):
                    taken[peer.name].append(starts.start(peer, url))
        for name, pairs in taken.items():
            self.figures[name] |= starts.medians(pairs[1:])  # the first brings the files into memory

    def read(self, folder: Path) -> None:
        """The recordings, by each client that can be pointed at a base URL."""
        exchanges = [
            expected.read(dialect, line, exchange)
            for dialect, lines in expected.groups(folder).items()
            for line, exchange in enumerate(lines)
        ]
        with replaying(folder) as root:
            for peer in self.peers:
                if peer.reads:
                    with Worker(peer.reads_in or peer.name, peer.adapter, root, peer.environment) as worker:
                        tallies = reading.read_all(worker, peer, exchanges, self.say)
                    self.reading[peer.name] = {
                        "groups": {group: asdict(tally) for group, tally in tallies.items()},
                        "total": asdict(reading.total(tallies.values())),
                    }

    def meet_faults(self, count: Count) -> None:
        """The simulator's faults, by each client that is asked for it."""
        for peer in self.peers:
            if peer.under_faults:
                with self._noting(peer.name):
                    self.faults[peer.name] = {
                        "title": peer.title,
                        "version": self.figures[peer.name]["version"],
                        "mode": peer.under_faults,
                        "trials": asyncio.run(faults.measure(peer, count)),
                    }

    def faults_to_json(self, machine: dict[str, Any]) -> dict[str, Any]:
        return {"date": machine["date"], "seconds": faults.SECONDS, "limit": faults.LIMIT, "peers": self.faults}

    @contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """What goes wrong with one client is noted, and the run goes on without it."""
        try:
            yield
        except subprocess.SubprocessError:
            self._note(name, "it could not be installed, or did not start in time")
        except PeerError as failure:
            self._note(name, str(failure))

    def _note(self, name: str, failure: str) -> None:
        noted = self.failures.setdefault(name, [])
        if failure not in noted:
            noted.append(failure)

    def to_json(self, machine: dict[str, Any], started: float) -> dict[str, Any]:
        return {
            "machine": machine,
            "quick": self.quick,
            "seconds": round(time.monotonic() - started),
            "peers": {
                peer.name: {
                    "title": peer.title,
                    "mode": peer.mode,
                    "statement": peer.statement,
                    **self.figures[peer.name],
                }
                for peer in self.peers
            },
            "reading": self.reading,
            "faults": self.faults_to_json(machine),
            "parts": self.parts,
            "failures": self.failures,
        }


def recordings() -> Path | None:
    folder = Path(os.environ.get("MULTI_LLM_RECORDINGS") or environments.ROOT.parent / "shared" / "recordings")
    return folder if folder.is_dir() else None


@contextmanager
def saying(console: Console) -> Iterator[Say]:
    """What is being done, on the terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        yield lambda what: progress.update(task, description=what)


@contextmanager
def counting(console: Console) -> Iterator[Count]:
    """The same, and how much of it is over."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total or None)


def only_faults(peers: Sequence[Peer], path: Path, console: Console, *, page: bool) -> int:
    """The other figures stay as they are; the page is written anew when there are some."""
    with counting(console) as count:
        run = Run(peers, quick=False, say=lambda what: count(what, 0, 0))
        run.prepare()
        run.meet_faults(count)
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = figures.get("faults", {}).get("peers", {})
    figures["faults"] = run.faults_to_json(facts())
    figures["faults"]["peers"] = {
        peer.name: one for peer in PEERS if (one := run.faults.get(peer.name) or known.get(peer.name)) is not None
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    for table in fault_tables.tables(figures["faults"]):
        console.print(table)
    for name, failures in run.failures.items():
        console.print(f"[red]{name}[/]: {'; '.join(failures)}", soft_wrap=True)
    console.print(f"Figures: {path}", soft_wrap=True)
    if page and "machine" in figures and report.BENCH.exists() and OURS.name not in run.failures:
        report.main(["--peers", str(path)])
    return 1 if OURS.name in run.failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a verdict; docs stay as they are")
    parser.add_argument("--json", type=Path, default=OUT, help="where the figures go (default: %(default)s)")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[peer.name for peer in PEERS],
        help="these peers, beside raw and ours; docs stay too",
    )
    parser.add_argument("--faults", action="store_true", help="the faults alone, into the figures of the last run")
    options = parser.parse_args()
    started, console = time.monotonic(), Console()
    machine = {**facts(), "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None}
    wanted = {RAW.name, OURS.name, *(options.only or [peer.name for peer in PEERS])}
    if options.faults:
        some = [peer for peer in PEERS if peer.name in wanted and peer.under_faults]
        return only_faults(some, options.json, console, page=not options.only)
    whole = not options.quick and not options.only
    if whole:  # ours beside its limits first
        subprocess.run([sys.executable, "-m", "benchmarks.run"], check=False, cwd=environments.ROOT)
    with counting(console) as count:  # before the cores are split: these wait, and nothing of theirs is measured
        run = Run([peer for peer in PEERS if peer.name in wanted], options.quick, lambda what: count(what, 0, 0))
        run.prepare()
        run.meet_faults(count)
    with saying(console) as run.say:
        _, core = cores.split()
        with upstream.running(core) as base_url:
            run.measure(base_url.removesuffix("/v1"))
        folder = recordings()
        if folder is not None and OURS.name not in run.failures:
            run.read(folder)
    figures = run.to_json(machine, started)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    for table in (*tables.tables(figures), *fault_tables.tables(figures["faults"])):
        console.print(table)
    console.print(f"Figures: {options.json}, after {figures['seconds']} s", soft_wrap=True)
    if folder is None:
        console.print("Nothing was read: no recordings; MULTI_LLM_RECORDINGS names their folder.")
    for name, failures in run.failures.items():
        console.print(f"[red]{name}[/]: {'; '.join(failures)}", soft_wrap=True)
    if OURS.name in run.failures:
        return 1  # what is broken has no figures to show
    if whole:
        plot.main(["--json", str(options.json)])
        report.main(["--peers", str(options.json)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
