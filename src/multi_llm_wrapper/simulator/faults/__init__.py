"""Faults: what can go wrong with a provider, each by a name, as functions from a healthy plan to a faulty one.

Asked for by a request (header `x-sim-fault: cut?k=3&times=2`, model `gpt-4o@cut,k=3`) or by `Brain.fault`.
"""

from __future__ import annotations

from .desk import HEADER, Desk, Drawn, Planned
from .fault import DIALECTS, Effect, Fault, Scene
from .spec import Spec, make, parse
from .table import FAULTS

__all__ = [
    "DIALECTS",
    "FAULTS",
    "HEADER",
    "Desk",
    "Drawn",
    "Effect",
    "Fault",
    "Planned",
    "Scene",
    "Spec",
    "make",
    "parse",
]
