"""What tests of your own code can use: the `simulator` and `mock_completion` fixtures come with the pytest plugin.

Nothing has to be imported; see `docs/testing.md` for examples.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..simulator import Simulator
    from .clock import VirtualClock
    from .double import CompletionDouble

__all__ = ["CompletionDouble", "Simulator", "VirtualClock"]

_HOMES = {"CompletionDouble": ".double", "Simulator": "..simulator", "VirtualClock": ".clock"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
