"""A simulator for tests and demos: the HTTP shell in a thread of its own, usable from sync and async code alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

from .brain import Brain
from .http import SimulatorServer
from .journal import Journal, JournalEntry
from .scripts import Make, Match, Override

START_TIMEOUT = 10.0


class Simulator:
    """A provider on loopback. Use as a context manager, or `start()` and `close()`.

        with Simulator(pace=0.02) as simulator:
            config = OpenAIConfig(api_key="any", base_url=simulator.base_url("openai"))

    `pace` is seconds between the pieces of a stream, `first_token` seconds before the first; `seed` decides what is
    answered. All three may be set at any time and count from the next request on.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        pace: float = 0.0,
        first_token: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        brain: Brain | None = None,
    ) -> None:
        self.brain = brain if brain is not None else Brain(seed=seed, pace=pace, first_token=first_token)
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

    def script(self, make: Make, *, match: Match | None = None, times: int | None = 1) -> Override:
        """See `Brain.script`."""
        return self.brain.script(make, match=match, times=times)

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
