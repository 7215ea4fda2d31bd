"""Replies laid ready in advance: the first that fits a request and is not used up answers it."""

from __future__ import annotations

from collections.abc import Callable

from .plan import Plan, SimRequest

Make = Callable[[SimRequest], Plan]
Match = Callable[[SimRequest], bool]


class Override:
    """One reply, given `times` times (None: always) to the requests that `match` accepts (None: all)."""

    def __init__(self, make: Make, match: Match | None = None, times: int | None = 1) -> None:
        self.make = make
        self.match = match
        self.times = times
        self.used = 0
        """How often it was given."""

    def fits(self, request: SimRequest) -> bool:
        return (self.times is None or self.used < self.times) and (self.match is None or self.match(request))


class Scripts:
    """The overrides, in the order in which they were added."""

    def __init__(self) -> None:
        self._overrides: list[Override] = []

    def __bool__(self) -> bool:
        return bool(self._overrides)

    def add(self, override: Override) -> Override:
        self._overrides.append(override)
        return override

    def take(self, request: SimRequest) -> Override | None:
        """The override for this request, counted as used; None when a healthy answer is due."""
        for override in self._overrides:
            if override.fits(request):
                override.used += 1
                return override
        return None

    def clear(self) -> None:
        self._overrides = []
