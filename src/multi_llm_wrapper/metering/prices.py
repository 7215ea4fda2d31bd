"""What a request cost, in US dollars: by the user's table, by the provider's own word, by the list of genai-prices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from ..pricing import check_prices
from ..types import Usage
from .price_catalogue import HOSTS, Catalogue, Tariff, load_catalogue
from .price_rates import Bands, user_rates
from .price_reported import reported_cost, reported_tier

KEPT = 1_000
"""Models (and tiers of them) whose rates are kept; beyond, the one that was kept first is looked up again."""
PATIENCE = 5.0
"""Seconds from `start()` that calls wait for the price list."""

_Key: TypeAlias = tuple[str, str, str | None, str | None]
"""Provider, model, the model in the answer, tier."""

_NOTHING: Mapping[str, Any] = {}
_log = logging.getLogger("multi_llm_wrapper")


class Prices:
    """Prices for one wrapper. `loaded` says that the list is there, or that there will be none."""

    def __init__(
        self,
        table: Mapping[str, Mapping[str, object]] | None = None,
        *,
        load: Callable[[], Catalogue] = load_catalogue,
        threaded: bool = True,
    ) -> None:
        """`table`: see `pricing.check_prices`, which raises its `ValueError` here too. `load` runs in a thread, or,
        where time is not real and a thread would seem to take for ever, at once."""
        self.loaded = False
        self._table = {key: user_rates(rates) for key, rates in check_prices("prices", table or {}).items()}
        self._load = load
        self._threaded = threaded
        self._catalogue: Catalogue | None = None
        self._tariffs: dict[_Key, Tariff | None] = {}
        self._loading: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline = 0.0

    def start(self) -> None:
        """Begin to load the price list, in a thread of the running loop's executor. Costs nothing the second time."""
        if self.loaded:
            return
        if not self._threaded:
            self._fill()
            return
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._deadline = loop, loop.time() + PATIENCE
            try:
                self._loading = loop.run_in_executor(None, self._fill)
            except RuntimeError:  # the executor is shut down: the program is about to end
                self._loading = None

    async def ready(self) -> None:
        """Until `loaded`, at most `PATIENCE` seconds after `start()`; never raises for what went wrong there."""
        self.start()
        if not self.loaded and self._loading is not None and self._loop is not None:
            await asyncio.wait((self._loading,), timeout=max(0.0, self._deadline - self._loop.time()))

    def cost(
        self,
        provider: str,
        model: str,
        usage: Usage | None,
        at: float,
        *,
        raw_usage: Mapping[str, Any] | None = None,
        tier: str | None = None,
        response_model: str | None = None,
    ) -> Decimal | None:
        """US dollars, exact; None when it is not known.

        `model` is the name sent, `response_model` the one in the answer, `at` the unix time of the request, `tier` the
        answer's `service_tier` where it stands beside the usage object.
        """
        raw = raw_usage or _NOTHING
        if self._table:
            bands = self._own(provider, model, response_model)
            if bands is not None:
                return None if usage is None else bands.cost(usage, raw)
        reported = reported_cost(provider, raw)
        if reported is not None or usage is None:
            return reported
        bands = self._listed((provider, model, response_model, reported_tier(tier, raw)), at)
        return None if bands is None else bands.cost(usage, raw)

    def _own(self, provider: str, model: str, response_model: str | None) -> Bands | None:
        """A key that begins with a known provider is that provider's alone, as in a call."""
        for name in (model, response_model):
            if name is not None:
                bands = self._table.get(f"{provider}/{name}")
                if bands is None and name.partition("/")[0] not in HOSTS:
                    bands = self._table.get(name)
                if bands is not None:
                    return bands
        return None

    def _listed(self, key: _Key, at: float) -> Bands | None:
        try:
            tariff = self._tariffs[key] if key in self._tariffs else self._look_up(key)
            return None if tariff is None else tariff.at(at)
        except Exception as error:  # other people's data must not fail a call
            self._tariffs[key] = None
            _log.warning("The cost of %s/%s is unknown (%s: %s).", *key[:2], type(error).__name__, error)
            return None

    def _look_up(self, key: _Key) -> Tariff | None:
        if self._catalogue is None:
            return None
        if len(self._tariffs) >= KEPT:
            del self._tariffs[next(iter(self._tariffs))]
        provider, model, response_model, tier = key
        names = (response_model, model) if response_model and response_model != model else (model,)
        tariff = self._tariffs[key] = self._catalogue.tariff(provider, names, tier)
        return tariff

    def _fill(self) -> None:
        """In the thread, if there is one. The assignments are seen by the loop in this order."""
        try:
            self._catalogue = self._load()
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "genai_prices":
                _warn(error)
        except Exception as error:
            _warn(error)
        self.loaded = True


def _warn(error: Exception) -> None:
    _log.warning("Costs are unknown: genai-prices cannot be loaded (%s: %s).", type(error).__name__, error)


__all__ = ["KEPT", "PATIENCE", "Prices"]
