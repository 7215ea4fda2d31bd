"""Client and upstream on a core each, where the machine has two and lets us choose."""

from __future__ import annotations

import os


def split() -> tuple[int | None, int | None]:
    """(client core, upstream core); pins this process to the first."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None, None
    os.sched_setaffinity(0, {cores[-1]})
    return cores[-1], cores[0]
