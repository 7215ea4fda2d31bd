"""The front door: `LLMWrapper` puts the rooms together and decides nothing itself."""

from __future__ import annotations

import asyncio
import copy
import os
import random
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Unpack, overload

from .caching import Cache
from .call import Call, unexpected
from .clock import Clock, SystemClock
from .config import PROVIDER_CONFIGS, ProviderConfig, WrapperConfig
from .errors import LLMError
from .metering.counts import Counts
from .options import Options, Prompt, check_names
from .policies.hedges import Bucket
from .response import Response
from .routing import Router
from .stream import ResponseStream
from .transport.watch import WatchPool

if TYPE_CHECKING:
    from .foreign import Completion
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
        if self.config.ledger is not None:
            raise ValueError("WrapperConfig.ledger is set, but there is no ledger yet; leave it None.")
        self.clock: Clock = clock or SystemClock()
        self.router = Router(self.config, dict(os.environ))
        self.router.check()
        self.counts = Counts()
        self.hedges = Bucket()
        self.random = random.Random()  # spreads load, keeps no secret
        self._cache = Cache(self.config, self.clock)
        self._transport = transport
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

    def get_usage_stats(self) -> dict[str, dict[str, Any]]:
        """Provider -> `requests`, `tokens`, `input_tokens`, `output_tokens`, `errors`, `cache_hits`; a copy, yours to
        change."""
        return copy.deepcopy(self.counts.stats(self.router.configured()))

    def get_average_response_time(self, provider: str) -> float:
        """The mean time of the calls that asked this provider, in seconds; 0.0 when there were none."""
        return self.counts.average_seconds(provider)

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
        """Closes all connections and the cache's store; harmless when repeated. A call made afterwards opens them
        anew."""
        await self._cache.aclose()
        self.watches(asyncio.get_running_loop()).clear()
        if self._transport is not None:
            await self._transport.aclose()

    # --- for the package ----------------------------------------------------------------------------------------

    def new_call(self, prompt: Prompt, model: str | None, options: Options, *, stream: bool) -> Call:
        if self._transport is None and self.completion is None:
            self._open_transport()  # imports aiohttp, which is not the call's time
        return Call(self, prompt, model, options, stream)

    def watches(self, loop: asyncio.AbstractEventLoop) -> WatchPool:
        """The time limits of attempts on this loop; those of an earlier loop ended with it."""
        pool = self._watches
        if pool is None or pool.loop is not loop:
            pool = self._watches = WatchPool(loop)
        return pool

    @property
    def transport(self) -> Transport:
        if self._transport is None:
            self._open_transport()
        assert self._transport is not None  # noqa: S101  # set just above
        return self._transport

    def _open_transport(self) -> None:
        from .transport.http import HTTPTransport

        self._transport = HTTPTransport()


def _wrapper_config(config: WrapperConfig | ProviderConfig | None) -> WrapperConfig:
    """A provider's configuration alone is enough."""
    if config is None:
        return WrapperConfig()
    if isinstance(config, WrapperConfig):
        return config
    for name, kind in PROVIDER_CONFIGS.items():
        if type(config) is kind and kind is not ProviderConfig:  # which many providers take
            return WrapperConfig(**{name: config})  # type: ignore[arg-type]  # the field of that class
    raise ValueError(
        f"config is a {type(config).__name__}; give a WrapperConfig, as in "
        "LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=...)))."
    )
