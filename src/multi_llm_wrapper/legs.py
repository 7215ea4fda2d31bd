"""The routes of one call: in which order they are asked, which deployment of each, and what moves on to the next.

A leg is one route as it is asked just now: a target, and the request in its words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from .encoding import encode
from .errors import CircuitOpenError, LLMError
from .fold import Fold
from .options import Options
from .policies.balance import STRATEGIES, sticky
from .policies.health import Health
from .policies.moves import MOVES_ON
from .routing import Target, elsewhere
from .transport.base import HTTPRequest
from .types import ChatRequest

if TYPE_CHECKING:
    from .wrapper import LLMWrapper

LARGER = "context_length_exceeded"
"""The class after which only a model with a larger window is worth asking."""


class Leg(Struct):
    """Route number `position`, asked at `target`. `dropped` names the settings that its model refuses."""

    position: int
    target: Target
    wire: HTTPRequest
    dropped: list[str]
    began: float = 0.0
    under_way: bool = False
    hedge: bool = False
    """It is asked beside another one that is late."""
    fold: Fold | None = None
    """What its stream adds up to so far."""


class Legs:
    """Gives the legs of a call one after the other. Raises the `LLMError` of a route that cannot be asked."""

    def __init__(self, wrapper: LLMWrapper, names: Sequence[str | None], options: Options) -> None:
        self.names = names
        self.untried = list(range(len(names)))
        """The routes that may still be asked. One that was passed over because it is out stays among them."""
        self.refused: dict[int, LLMError] = {}
        """Those that cannot be asked, and why."""
        self._wrapper = wrapper
        self._options = options
        self._failed: list[Health] = []  # of the deployments that failed in this call

    def first(self, request: ChatRequest, now: float) -> Leg:
        """The first route that can be asked. One that is out (circuit open, taken out) is passed over while another
        can be asked, and asked all the same when none can."""
        if len(self.names) == 1:
            return self.leg(0, request, now, whatever=True)
        refused: list[LLMError] = []
        for found in self._in_order(request, now):
            if isinstance(found, Leg):
                return found
            refused.append(found)
        raise refused[0]  # there is at least one route

    def after(self, leg: Leg, error: LLMError, request: ChatRequest, now: float, *, spare: bool) -> Leg | None:
        """Where else to ask after `error`: another deployment of the route that has not failed in this call (with
        `spare`: there is an attempt for it), else the next route that can be asked."""
        self._failed.append(leg.target.health)
        if not self.moves(error, leg):
            return None
        only_larger = error.error_type == LARGER and not self._asked_for(LARGER)
        fresh = self._fresh(leg, now) if spare and not only_larger else []
        if fresh:
            return self.leg(leg.position, request, now, among=fresh)
        for found in self._in_order(request, now):
            if isinstance(found, Leg) and (not only_larger or _larger(found.target, leg.target)):
                return found
        return None

    def beside(self, request: ChatRequest, now: float) -> Leg | None:
        """The next route that is up, to be asked at the same time."""
        ahead = self._in_order(request, now, whatever=False)
        return next((found for found in ahead if isinstance(found, Leg)), None)

    def asked(self, leg: Leg) -> None:
        """This route has had its turn."""
        if leg.position in self.untried:
            self.untried.remove(leg.position)

    def again(self, leg: Leg, request: ChatRequest, now: float) -> Leg:
        """The same route once more: at another deployment of it, if there is one that is up."""
        try:
            return self.leg(leg.position, request, now, whatever=True, rather_not=leg.target)
        except LLMError:  # the configuration has changed since: what was asked can be asked again
            return structs.replace(leg, under_way=False, hedge=False, fold=None)

    def up(self, leg: Leg, now: float, wait: float) -> bool:
        """Whether a deployment of the route can be asked after `wait` seconds."""
        return any(target.health.available(now, wait) for target in self._group(leg.position))

    def leg(
        self,
        position: int,
        request: ChatRequest,
        now: float,
        *,
        whatever: bool = False,
        among: Sequence[Target] = (),
        rather_not: Target | None = None,
    ) -> Leg:
        """Route number `position`. Raises `CircuitOpenError` when it is out, unless `whatever`."""
        targets = among or self._group(position)
        target = targets[0] if len(targets) == 1 else self._choose(targets, now, rather_not)
        if not whatever and len(self.names) > 1 and not target.health.available(now):
            raise CircuitOpenError(f"{target.provider} failed too often just now, so it is not asked.", code="out")
        if target.backend == "litellm":
            from . import litellm_bridge

            litellm_bridge.check(target)
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
        if MOVES_ON[kind] or self._asked_for(kind):
            return True
        return kind == LARGER and leg is not None and leg.target.profile.context_window is not None

    # --- pieces -------------------------------------------------------------------------------------------------

    def _asked_for(self, kind: str) -> bool:
        asked = self._options.get("fallback_on")
        return kind in (self._wrapper.config.fallback_on if asked is None else asked)

    def _in_order(self, request: ChatRequest, now: float, *, whatever: bool = True) -> Iterator[Leg | LLMError]:
        """The untried routes as they are to be asked, or why one cannot be: those that are up, then those that are out.
        What is wrong with the first one and moves nothing on is the end."""
        out: list[int] = []
        for position in list(self.untried):
            found = self._try(position, request, now)
            if isinstance(found, CircuitOpenError):
                out.append(position)
                continue
            yield found
            if isinstance(found, LLMError) and position == 0 and not self.moves(found):
                return
        if whatever:
            for position in out:
                yield self._try(position, request, now, whatever=True)

    def _try(self, position: int, request: ChatRequest, now: float, *, whatever: bool = False) -> Leg | LLMError:
        try:
            return self.leg(position, request, now, whatever=whatever)
        except CircuitOpenError as error:
            return error
        except LLMError as error:
            error.provider, error.model = self._wrapper.router.named(self.names[position])
            self.untried.remove(position)
            self.refused[position] = error
            return error

    def _group(self, position: int) -> Sequence[Target]:
        """The deployments of a route. The key of the call is for the provider that it was asked for."""
        router, options, name = self._wrapper.router, self._options, self.names[position]
        if position and options and router.named(name)[0] != router.named(self.names[0])[0]:
            options = elsewhere(options)
        return router.group(name, options)

    def _fresh(self, leg: Leg, now: float) -> list[Target]:
        """The deployments of the route that are up and have not failed in this call."""
        targets = self._group(leg.position)
        if len(targets) == 1:
            return []
        return [t for t in targets if t.health.available(now) and not any(t.health is f for f in self._failed)]

    def _choose(self, targets: Sequence[Target], now: float, rather_not: Target | None) -> Target:
        up = [t for t in targets if t.health.available(now)] or list(targets)
        others = [t for t in up if rather_not is None or t.health is not rather_not.health]
        candidates = others or up
        config = self._wrapper.config
        value = (self._options.get("tags") or {}).get(config.sticky_by or "")
        if value is not None:
            return sticky(candidates, value)
        return STRATEGIES[config.balance](candidates, self._wrapper.random)


def _larger(new: Target, old: Target) -> bool:
    window, before = new.profile.context_window, old.profile.context_window
    return window is not None and before is not None and window > before
