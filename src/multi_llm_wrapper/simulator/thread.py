"""A simulator for tests and demos: the HTTP shell in a thread of its own, usable from sync and async code alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, overload

from .brain import Brain
from .faults import Planned, Spec
from .http import SimulatorServer
from .journal import Journal, JournalEntry
from .meter import TimingReport
from .playbook import Scripted
from .replay import Recordings
from .scenario import Answer, Limits, Mode, When
from .scripts import Make, Match, Override
from .stage import Scenarios
from .timing import Timings

START_TIMEOUT = 10.0


class Simulator:
    """A provider on loopback. Use as a context manager, or `start()` and `close()`.

        with Simulator(pace=0.02) as simulator:
            config = OpenAIConfig(api_key="any", base_url=simulator.base_url("openai"))

    `pace` is seconds between the pieces of a stream, `first_token` seconds before the first; `seed` decides what is
    answered. All three may be set at any time and count from the next request on. The other settings are `Brain`'s.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        pace: float = 0.0,
        first_token: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        mode: Mode = "prose",
        timing: Timings | None = None,
        limits: Limits | None = None,
        context_windows: bool | Mapping[str, int] = False,
        scenario: Scenarios | None = None,
        recordings: Recordings | Path | str | None = None,
        brain: Brain | None = None,
    ) -> None:
        self.brain = brain or Brain(
            seed=seed,
            pace=pace,
            first_token=first_token,
            mode=mode,
            timing=timing,
            limits=limits,
            context_windows=context_windows,
            scenario=scenario,
            recordings=recordings,
        )
        self._host = host
        self._port = port
        self._server = SimulatorServer(self.brain)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> Simulator:
        """Serves until `close()`. Raises `OSError` when the address is taken."""
        if self._thread is not None:
            return self
        started = threading.Event()
        failure: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._run, args=(started, failure), name="multi-llm-simulator", daemon=True
        )
        self._thread.start()
        if not started.wait(START_TIMEOUT):
            failure.append(TimeoutError(f"The simulator did not start within {START_TIMEOUT:g} s."))
        if failure:
            self._thread = None
            raise failure[0]
        return self

    def close(self) -> None:
        """Drops all connections and ends the thread. Harmless when repeated."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(START_TIMEOUT)

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- where it is ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """`http://host:port`, without a path."""
        return self._server.url

    @property
    def port(self) -> int:
        return self._server.port

    def base_url(self, dialect: str) -> str:
        """The base URL for a dialect (`openai_chat`, `anthropic_messages`, `gemini`) or a provider's short name
        (`openai`, `anthropic`, `groq`). Raises `ValueError` for a name it does not know."""
        return self._server.base_url(dialect)

    # --- what it does ---------------------------------------------------------------------------------------------

    @property
    def pace(self) -> float:
        return self.brain.pace

    @pace.setter
    def pace(self, seconds: float) -> None:
        self.brain.pace = seconds

    @property
    def first_token(self) -> float:
        return self.brain.first_token

    @first_token.setter
    def first_token(self, seconds: float) -> None:
        self.brain.first_token = seconds

    @property
    def seed(self) -> int:
        return self.brain.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self.brain.seed = seed

    @overload
    def script(self, reply: Make, *, match: Match | None = None, times: int | None = 1) -> Override: ...
    @overload
    def script(
        self,
        reply: Answer | str | Mapping[str, Any] | list[Any],
        *,
        match: When | Mapping[str, Any] | None = None,
        times: int | None = 1,
    ) -> Scripted: ...
    def script(self, reply: Any, *, match: Any = None, times: int | None = 1) -> Override | Scripted:
        """See `Brain.script`."""
        scripted: Override | Scripted = self.brain.script(reply, match=match, times=times)
        return scripted

    def use(self, scenario: Scenarios) -> None:
        """See `Brain.use`."""
        self.brain.use(scenario)

    def timing_report(self) -> TimingReport:
        """See `Brain.timing_report`."""
        return self.brain.timing_report()

    def fault(
        self,
        name: str,
        *,
        times: int | None = 1,
        model: str | None = None,
        match: Match | None = None,
        probability: float = 1.0,
        seed: int = 0,
        **params: float,
    ) -> Planned:
        """See `Brain.fault`; `multi-llm faults` lists them."""
        return self.brain.fault(
            name, times=times, model=model, match=match, probability=probability, seed=seed, **params
        )

    def faults(self, *specs: Spec, match: Match | None = None, model: str | None = None) -> Planned:
        """See `Brain.faults`."""
        return self.brain.faults(*specs, match=match, model=model)

    def replay(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        chunks: list[bytes] | None = None,
        match: Match | None = None,
        times: int | None = 1,
    ) -> Override:
        """See `Brain.replay`."""
        return self.brain.replay(status, headers, body, chunks=chunks, match=match, times=times)

    # --- what it saw ----------------------------------------------------------------------------------------------

    @property
    def journal(self) -> list[JournalEntry]:
        """The requests so far, oldest first (a copy of the list; the entries themselves are live)."""
        return list(self.brain.journal)

    def wait_for(self, condition: Callable[[Journal], bool], timeout: float = 5.0) -> bool:
        """Blocks until the journal fulfils `condition`, at most `timeout` seconds; whether it did. From async code
        call it through `asyncio.to_thread`."""
        return self.brain.journal.wait_for(condition, timeout)

    def reset(self) -> None:
        """As new: an empty journal, nothing scripted, the options it was made with, and no reply of before still
        under way. Not for the serving thread."""
        if self._thread is None or self._loop is None:
            self.brain.reset()
            return
        done = threading.Event()

        def reset() -> None:
            self._server.reset()
            done.set()

        self._loop.call_soon_threadsafe(reset)
        done.wait(START_TIMEOUT)

    # --- the thread -----------------------------------------------------------------------------------------------

    def _run(self, started: threading.Event, failure: list[BaseException]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with await self._server.start(self._host, self._port):
            started.set()
            await self._stop.wait()
