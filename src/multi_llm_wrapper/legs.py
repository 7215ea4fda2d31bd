"""The routes of one call: in which order they are asked, which deployment of each, and what moves on to the next.

A leg is one route as it is asked just now: a target, and the request in its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from .encoding import encode
from .errors import CircuitOpenError, LLMError
from .options import Options
from .policies.balance import STRATEGIES, sticky
from .policies.moves import MOVES_ON
from .routing import Target
from .transport.base import HTTPRequest
from .types import ChatRequest

if TYPE_CHECKING:
    from .wrapper import LLMWrapper


class Leg(Struct):
    """Route number `position`, asked at `target`. `dropped` names the settings that its model refuses."""

    position: int
    target: Target
    wire: HTTPRequest
    dropped: list[str]
    began: float = 0.0
    under_way: bool = False


class Legs:
    """Gives the legs of a call one after the other. Raises the `LLMError` of a route that cannot be asked."""

    def __init__(self, wrapper: LLMWrapper, names: Sequence[str | None], options: Options) -> None:
        self.names = names
        self._wrapper = wrapper
        self._options = options

    def __len__(self) -> int:
        return len(self.names)

    def first(self, request: ChatRequest, now: float) -> Leg:
        """The first route that can be asked. One that is out (circuit open, taken out) is passed over while another
        can be asked, and asked all the same when none can."""
        refused: LLMError | None = None
        for position in range(len(self.names)):
            try:
                return self.leg(position, request, now)
            except LLMError as error:
                if refused is None or isinstance(refused, CircuitOpenError):
                    refused = error
                if position + 1 == len(self.names) or not self.moves(error):
                    break
        if isinstance(refused, CircuitOpenError):
            return self.leg(0, request, now, whatever=True)
        assert refused is not None  # noqa: S101  # there is at least one route
        raise refused

    def after(self, leg: Leg, error: LLMError, request: ChatRequest, now: float) -> Leg | None:
        """Where else to ask after `error`: another deployment of the route when waiting would not mend this one, else
        the next route that can be asked."""
        if not self.moves(error, leg):
            return None
        if not error.retryable and any(t is not leg.target and t.health.available(now) for t in self._group(leg)):
            return self.again(leg, request, now)
        last = len(self.names) - 1
        for position in range(leg.position + 1, len(self.names)):
            try:
                following = self.leg(position, request, now, whatever=position == last)
            except LLMError:
                continue
            if error.error_type != "context_length_exceeded" or _larger(following.target, leg.target):
                return following
        return None

    def up(self, leg: Leg, now: float) -> bool:
        """Whether a deployment of the route can be asked."""
        return any(target.health.available(now) for target in self._group(leg))

    def _group(self, leg: Leg) -> Sequence[Target]:
        return self._wrapper.router.group(self.names[leg.position], self._options)

    def again(self, leg: Leg, request: ChatRequest, now: float) -> Leg:
        """The same route once more: at another deployment of it, if there is one that is up."""
        return self.leg(leg.position, request, now, whatever=True, rather_not=leg.target)

    def leg(
        self,
        position: int,
        request: ChatRequest,
        now: float,
        *,
        whatever: bool = False,
        rather_not: Target | None = None,
    ) -> Leg:
        targets = self._wrapper.router.group(self.names[position], self._options)
        target = targets[0] if len(targets) == 1 else self._choose(targets, now, rather_not)
        if not whatever and len(self.names) > 1 and not target.health.available(now):
            raise CircuitOpenError(f"{target.provider} failed too often just now, so it is not asked.", code="out")
        if request.model != target.model:
            request = structs.replace(request, model=target.model)
        drop = self._options.get("drop_unsupported")
        if drop is None:
            drop = position > 0 or self._wrapper.config.drop_unsupported
        encoded = encode(request, target, self._options, drop=drop)
        return Leg(position, target, encoded.wire, encoded.dropped)

    def moves(self, error: LLMError, leg: Leg | None = None) -> bool:
        """Whether this failure may be mended by another route."""
        kind = error.error_type
        asked = self._options.get("fallback_on") or self._wrapper.config.fallback_on
        if kind in asked or MOVES_ON[kind]:
            return True
        return kind == "context_length_exceeded" and leg is not None and leg.target.profile.context_window is not None

    def _choose(self, targets: Sequence[Target], now: float, rather_not: Target | None) -> Target:
        up = [t for t in targets if t.health.available(now)] or list(targets)
        others = [t for t in up if t is not rather_not]
        candidates = others or up
        config = self._wrapper.config
        value = (self._options.get("tags") or {}).get(config.sticky_by or "")
        if value is not None:
            return sticky(candidates, value)
        return STRATEGIES[config.balance](candidates, self._wrapper.random)


def _larger(new: Target, old: Target) -> bool:
    window, before = new.profile.context_window, old.profile.context_window
    return window is not None and before is not None and window > before

