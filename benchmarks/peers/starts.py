"""How long it takes to begin: an import, and the first answer from nothing. In processes of their own, alternating."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from . import environments
from .process import clean
from .roster import Peer
from .speed import Say


def _seconds(command: list[Any], extra: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=environments.ROOT, env=clean(extra), capture_output=True, timeout=120)
    return time.perf_counter() - started


def starts(peers: Sequence[Peer], url: str, rounds: int, say: Say) -> dict[str, dict[str, Any]]:
    """Peer -> milliseconds above a bare interpreter of the same environment, medians of the rounds' differences."""
    taken: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in peers}
    for round_ in range(rounds + 1):
        say(f"round {round_ + 1} of {rounds + 1}")
        for peer in peers:
            python = environments.python(peer.name)
            bare = _seconds([python, "-c", "pass"], peer.environment)
            imported = _seconds([python, "-c", peer.statement], peer.environment)
            worker = [python, "-m", "benchmarks.peers.worker", peer.adapter, url, "--once"]
            answered = _seconds(worker, peer.environment)
            if round_:  # the first brings the files into memory
                taken[peer.name].append((imported - bare, answered - bare))
    return {
        name: {
            "import_ms": statistics.median(pair[0] for pair in pairs) * 1e3,
            "answer_ms": statistics.median(pair[1] for pair in pairs) * 1e3,
        }
        for name, pairs in taken.items()
    }
