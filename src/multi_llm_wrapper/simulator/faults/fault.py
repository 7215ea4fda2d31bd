"""What a fault is: a name, a line about it, and a pure function from a healthy plan to a faulty one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from ..plan import Plan

Effect: TypeAlias = Literal["harmless", "altered", "passing", "refused"]
"""What a client can make of it.

`harmless`: the answer is whole, however strange its way. `altered`: a whole answer by every rule of the protocol, but
not what the model said; nobody can see it. `passing`: there is no whole answer, another attempt may give one.
`refused`: there is none, and to ask again would be wrong.
"""

Mode: TypeAlias = Literal["query", "stream"]
BOTH: tuple[Mode, ...] = ("query", "stream")
QUERY: tuple[Mode, ...] = ("query",)
STREAM: tuple[Mode, ...] = ("stream",)
DIALECTS = ("openai_chat", "anthropic_messages", "gemini")


class Scene(Struct, frozen=True):
    """All that a fault may hang on beside the healthy plan."""

    dialect: str
    stream: bool
    params: Mapping[str, float] = {}
    elapsed: float = 0.0
    """Seconds since this fault was first given."""
    busy: int = 0
    """Other replies of the simulator that are under way."""
    now: float = 0.0
    """Unix seconds, for the dates in headers."""
    request_id: str | None = None

    def count(self, name: str) -> int:
        """A parameter as a whole number."""
        return int(min(self.params[name], 1e9))


Change: TypeAlias = Callable[[Plan, Scene], Plan]


class Fault(Struct, frozen=True):
    """One way to fail. `params` are its parameters with their defaults, all of them numbers; `s` is in seconds, `k`
    counts pieces of content that come before it."""

    name: str
    about: str
    change: Change
    effect: Effect
    params: Mapping[str, float] = {}
    on: tuple[Mode, ...] = BOTH
    dialects: tuple[str, ...] = DIALECTS
    variants: tuple[str, ...] = ()
    """Other parameters that are worth a row of their own in the matrix, as `k=0`."""
    tools: bool = False
    """It shows in an answer with tool calls only."""

    def applies(self, dialect: str, stream: bool) -> bool:
        return dialect in self.dialects and ("stream" if stream else "query") in self.on

    def apply(self, plan: Plan, scene: Scene) -> Plan:
        """The faulty plan; the plan as it is where the fault has no meaning, or the request was refused anyway."""
        if plan.status >= 400 or not self.applies(scene.dialect, scene.stream):
            return plan
        return self.change(plan, scene)
