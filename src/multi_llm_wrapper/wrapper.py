"""The front door: `LLMWrapper` puts the rooms together and decides nothing itself."""

from __future__ import annotations

import asyncio
import os
import random
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Unpack, overload

from .caching import Cache
from .call import Call, unexpected
from .clock import Clock, SystemClock
from .config import PROVIDER_CONFIGS, ProviderConfig, WrapperConfig
from .errors import LLMError
from .metering.meter import Meter
from .metering.prices import Prices
from .metering.record import Record
from .options import Options, Prompt, check_names
from .policies.hedges import Bucket
from .response import Response
from .routing import Router
from .stream import ResponseStream
from .transport.watch import WatchPool

if TYPE_CHECKING:
    from .foreign import Completion
    from .metering.ledger import Ledger
    from .transport.base import Transport


class LLMWrapper:
    """One async client over every LLM provider.

        async with LLMWrapper() as llm:
            response = await llm.query("Why is the sky blue?", model="gpt-4o-mini")
            print(response["content"])

    Opens nothing until the first call. `query()` and `stream()` never raise for what a provider did: an error is a
    response with `status="error"` and an `error_type`. Safe to use from several tasks and, one after the other, from
    several event loops. `transport` and `clock` replace the network and the time, for tests.
    """

    completion: ClassVar[Completion | None] = None
    """Stands in for every attempt when set; the plugin's `mock_completion` sets it for the time of one test."""

    def __init__(
        self,
        config: WrapperConfig | ProviderConfig | None = None,
        *,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = _wrapper_config(config)
        self.clock: Clock = clock or SystemClock()
        self.router = Router(self.config, dict(os.environ))
        self.router.check()
        self.meter = Meter()
        self.prices = Prices(self.config.prices, threaded=clock is None)
        self._ledger = _ledger(self.config.ledger)
        self.hedges = Bucket()
        self.random = random.Random()  # spreads load, keeps no secret
        self._cache = Cache(self.config, self.clock)
        self._transport = transport
        self.closings = 0  # a call that was under way then is not tried again
        self._watches: WatchPool | None = None

    @overload
    async def query(
        self, prompt: Prompt, model: str | None = None, *, stream: Literal[False] = False, **options: Unpack[Options]
    ) -> Response: ...

    @overload
    async def query(
        self, prompt: Prompt, model: str | None = None, *, stream: Literal[True], **options: Unpack[Options]
    ) -> ResponseStream: ...

    async def query(
        self, prompt: Prompt, model: str | None = None, *, stream: bool = False, **options: Unpack[Options]
    ) -> Response | ResponseStream:
        """Asks, and gives the whole answer; with `stream=True` the same as `stream()`.

        `prompt` is a text or a list of messages in OpenAI's chat shape. An unknown option is a `TypeError`; everything
        else that can go wrong is an error response.
        """
        if stream:
            return self.stream(prompt, model, **options)
        if options:
            check_names(options)
        call = self.new_call(prompt, model, options, stream=False)
        try:
            call.prepare()
            response = await self._cache.answer(call)
        except LLMError as error:
            response = call.failed(error)
        except Exception as error:
            response = call.failed(unexpected(error))
        if call.raises:
            response.raise_for_status()
        return response

    def stream(self, prompt: Prompt, model: str | None = None, **options: Unpack[Options]) -> ResponseStream:
        """Asks, and gives the answer as it comes; nothing is sent before the first chunk is asked for."""
        if options:
            check_names(options)
        return ResponseStream(self, prompt, model, options)

    def get_usage_stats(self, by: Literal["provider", "model", "tag"] = "provider") -> dict[str, dict[str, Any]]:
        """Sums since the start, a copy that is yours to change: by provider (every configured one is there), by
        "provider/model", or by tag as "name=value".

        Each has `requests`, `tokens`, `input_tokens`, `output_tokens`, `cache_read_tokens`, `cache_write_tokens`,
        `reasoning_tokens`, `errors`, `errors_by_class`, `retries`, `hedges`, `cache_hits`, `abandoned`, `cost_usd` and
        `unpriced_requests`. Raises `ValueError` for another `by`.
        """
        return self.meter.stats(self.router.configured(), by)

    def get_average_response_time(self, provider: str) -> float:
        """The mean time of the calls that asked this provider, in seconds; 0.0 when there were none."""
        return self.meter.average_seconds(provider)

    def get_response_times(self, provider: str) -> dict[str, Any]:
        """`count`, `mean`, `p50`, `p90`, `p95`, `p99` and `max` of the response times, in seconds, and the same of
        `time_to_first_token` and `time_per_output_token`, which streams have. Percentiles are within 1 %."""
        return self.meter.response_times(provider)

    def deployments(self) -> list[dict[str, Any]]:
        """The health of each place that was asked lately or is configured: `provider`, `model`, `base_url`, `key` (a
        fingerprint), `available`, `circuit`, `out_seconds`, `out_reason`, `busy`, `attempts`, `failures`, `latency`."""
        return self.router.health(self.clock.monotonic())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections and the cache's store, and writes the ledger to its end; harmless when repeated. A
        call made afterwards opens them anew."""
        self.closings += 1
        await self._cache.aclose()
        if self._ledger is not None:
            await self._ledger.aclose()
        self.watches(asyncio.get_running_loop()).clear()
        if self._transport is not None:
            await self._transport.aclose()

    # --- for the package ----------------------------------------------------------------------------------------

    def new_call(self, prompt: Prompt, model: str | None, options: Options, *, stream: bool) -> Call:
        if self._transport is None and self.completion is None:
            self._open_transport()  # imports aiohttp, which is not the call's time
        return Call(self, prompt, model, options, stream)

    def record(self, record: Record) -> None:
        """A call has ended."""
        self.meter.record(record)
        if self._ledger is not None:
            self._ledger.add(record)

    def watches(self, loop: asyncio.AbstractEventLoop) -> WatchPool:
        """The time limits of attempts on this loop; those of an earlier loop ended with it."""
        pool = self._watches
        if pool is None or pool.loop is not loop:
            pool = self._watches = WatchPool(loop)
        return pool

    @property
    def transport(self) -> Transport:
        return self._open_transport() if self._transport is None else self._transport

    def _open_transport(self) -> Transport:
        from .transport.http import HTTPTransport

        self._transport = HTTPTransport()
        return self._transport


def _ledger(url: str | None) -> Ledger | None:
    if url is None:
        return None
    from .metering.ledger import open_ledger

    return open_ledger(url)


def _wrapper_config(config: WrapperConfig | ProviderConfig | None) -> WrapperConfig:
    """A provider's configuration alone is enough."""
    if config is None:
        return WrapperConfig()
    if isinstance(config, WrapperConfig):
        return config
    for name, kind in PROVIDER_CONFIGS.items():
        if type(config) is kind and kind is not ProviderConfig:  # which many providers take
            fields: dict[str, Any] = {name: config}
            return WrapperConfig(**fields)
    raise ValueError(
        f"config is a {type(config).__name__}; give a WrapperConfig, as in "
        "LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=...)))."
    )
