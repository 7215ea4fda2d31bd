"""How long it takes to begin: an import, and the first answer from nothing. In processes of their own, alternating."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from . import environments
from .process import PeerError, clean
from .roster import Peer


def _seconds(command: list[Any], extra: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=environments.ROOT, env=clean(extra), capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise PeerError(f"start: {(done.stderr.strip() or 'it failed').splitlines()[-1][:200]}")
    return time.perf_counter() - started


def start(peer: Peer, url: str) -> tuple[float, float]:
    """Seconds above a bare interpreter of the same environment: (import, first answer)."""
    python, extra = environments.python(peer.name), peer.environment
    bare = _seconds([python, "-c", "pass"], extra)
    imported = _seconds([python, "-c", peer.statement], extra)
    answered = _seconds([python, "-m", "benchmarks.peers.worker", peer.adapter, url, "--once"], extra)
    return imported - bare, answered - bare


def medians(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """In milliseconds; nothing for a client that did not start."""
    if not pairs:
        return {}
    imported, answered = (statistics.median(values) * 1e3 for values in zip(*pairs, strict=True))
    return {"import_ms": imported, "answer_ms": answered}
