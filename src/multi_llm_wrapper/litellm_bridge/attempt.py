"""One attempt as this package sees it: a leg of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from ..clock import Clock
from ..options import Options
from ..routing import Target
from ..transport.base import HTTPRequest
from ..types import ChatRequest

if TYPE_CHECKING:
    from ..call import Call
    from ..legs import Leg


class Attempt(Struct, frozen=True):
    """Who is asked what. `wire` is how our own dialect says it."""

    target: Target
    request: ChatRequest
    wire: HTTPRequest
    options: Options
    clock: Clock

    @property
    def provider(self) -> str:
        return self.target.provider


def of(call: Call, leg: Leg) -> Attempt:
    """The request of this leg: its model, without the settings that it refuses."""
    changes = dict.fromkeys(leg.dropped) | {"model": leg.target.model}
    return Attempt(leg.target, structs.replace(call.request, **changes), leg.wire, call.options, call.clock)
