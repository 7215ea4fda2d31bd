"""A provider to test against: real wire protocols, healthy answers, no network and no key.

    from multi_llm_wrapper.simulator import Simulator

    with Simulator() as simulator:
        ...  # any client of OpenAI, Anthropic or Gemini, at simulator.base_url("openai")

`Brain` is the provider without I/O; `SimulatorServer` serves it over HTTP in a running event loop, `Simulator` does so
in a thread, `MemoryTransport` asks it without any socket.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .brain import Brain
    from .http import SimulatorServer
    from .journal import Journal, JournalEntry
    from .memory import MemoryTransport
    from .meter import TimingReport
    from .plan import Plan, SimRequest, Step, whole
    from .scenario import Answer, Limits, Scenario, When
    from .scenario_file import ScenarioError
    from .scripts import Override
    from .thread import Simulator
    from .timing import Timing, Wait

_HOMES = {
    "TimingReport": "meter",
    "Wait": "timing",
    "Timing": "timing",
    "ScenarioError": "scenario_file",
    "When": "scenario",
    "Scenario": "scenario",
    "Limits": "scenario",
    "Answer": "scenario",
    "Brain": "brain",
    "Journal": "journal",
    "JournalEntry": "journal",
    "MemoryTransport": "memory",
    "Override": "scripts",
    "Plan": "plan",
    "SimRequest": "plan",
    "Simulator": "thread",
    "SimulatorServer": "http",
    "Step": "plan",
    "whole": "plan",
}

__all__ = [
    "Answer",
    "Brain",
    "Journal",
    "JournalEntry",
    "Limits",
    "MemoryTransport",
    "Override",
    "Plan",
    "Scenario",
    "ScenarioError",
    "SimRequest",
    "Simulator",
    "SimulatorServer",
    "Step",
    "Timing",
    "TimingReport",
    "Wait",
    "When",
    "whole",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
