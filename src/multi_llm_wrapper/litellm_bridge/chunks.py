"""A streamed attempt: litellm's chunks as the source of a stream."""

from __future__ import annotations

import asyncio
import builtins
from contextlib import suppress
from typing import Any, TypeGuard

from .. import dialects, foreign
from ..attempt import GRACE
from ..dialects import waits
from ..errors import IncompleteStreamError, LLMError, TimeoutError
from ..fold import Fold
from ..sse import ServerEvent
from ..types import Event, Finished, RateLimit, ToolCallDelta
from . import reply
from .attempt import Attempt
from .exceptions import classify


class ChunkStream:
    """Gives the events of one answer (see `stream.Source`), within the time limits that our own streams have.

    litellm ends every stream with a finish reason, also one that broke off; an invented one is an
    `IncompleteStreamError` here.
    """

    def __init__(self, chunks: Any, attempt: Attempt, deadline: float) -> None:
        dialect, kept = dialects.get("openai_chat"), reply.headers(chunks)
        self.fold = Fold(dialect.read_usage)
        self.request_id = reply.request_id(kept)
        self.rate_limit: RateLimit | None = waits.rate_limit(kept, attempt.clock.time())
        self._attempt = attempt
        self._chunks = chunks
        self._iterator = aiter(chunks)
        self._decoder = dialect.decoder()
        self._now = asyncio.get_running_loop().time
        self._deadline = deadline
        self._first_token_by = self._now() + attempt.target.limits.first_token
        self._last_call: float | None = None  # set by the finish reason: when we stop waiting for what may follow
        self._step: asyncio.Task[Any] | None = None
        self._over = False
        self._calls = False
        self._closing: asyncio.Task[None] | None = None
        self._raw: list[bytes] | None = [] if attempt.options.get("keep_raw") else None

    async def next(self) -> list[Event] | None:
        """The next events, at least one; None when the answer is complete."""
        while not self._over:
            chunk = await self._read()
            events = self._end() if chunk is None else self._decode(chunk)
            self.fold.add_all(events)
            if events:
                return events
        return None

    def received(self) -> None:
        """The first token is there: from now on only the idle limit counts."""
        self._first_token_by = 0.0

    def abort(self) -> None:
        """Closes the connection, whatever is still to come; a `next()` that waits gives None."""
        if not self._over:
            self._over = True
            if self._step is not None:
                self._step.cancel()
            self._close()

    @property
    def raw(self) -> bytes | None:
        """The chunks as JSON, a line each, when they were to be kept."""
        return b"\n".join(self._raw) if self._raw is not None else None

    # --- steps --------------------------------------------------------------------------------------------------------

    async def _read(self) -> Any:
        """The next chunk, None at the end. Once the model has finished, silence and a failure are an end, too."""
        if self._last_call is None and self.fold.finished:
            self._last_call = min(self._now() + GRACE, self._deadline)
        step = self._step = asyncio.ensure_future(_next(self._iterator))
        try:
            async with asyncio.timeout_at(self._last_call or self._due()):
                return await step
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._over and (task is None or not task.cancelling()):
                return None
            raise
        except Exception as error:
            if self._last_call is not None:
                return None
            raise self._failure(error) from error
        finally:
            self._step = None

    def _due(self) -> float:
        return min(self._first_token_by or self._now() + self._attempt.target.limits.idle, self._deadline)

    def _decode(self, chunk: Any) -> list[Event]:
        body = foreign.to_json(chunk, reply.tidy)
        if self._raw is not None:
            self._raw.append(body)
        events = self._decoder.feed(ServerEvent("", body))
        self._calls = self._calls or any(isinstance(event, ToolCallDelta) for event in events)
        if not self._calls:  # as in `reply.tidy`
            events = [Finished("stop", e.provider_reason) if _finished_by_calls(e) else e for e in events]
        if _invents(self._chunks) and any(isinstance(event, Finished) for event in events):
            raise _cut(self._attempt)
        return events

    def _end(self) -> list[Event]:
        if self._over:  # aborted
            return []
        self._over = True
        self._close()
        if not self.fold.finished:
            raise _cut(self._attempt)
        return self._decoder.close()

    def _close(self) -> None:
        """In a task of its own: closing may wait for the network, which the caller does not."""
        if hasattr(self._chunks, "aclose"):
            self._closing = asyncio.get_running_loop().create_task(_close(self._chunks))

    def _failure(self, error: Exception) -> LLMError:
        if isinstance(error, LLMError):
            return error
        if not isinstance(error, builtins.TimeoutError):
            return classify(error, self._attempt)
        provider = self._attempt.provider
        if self._now() >= self._deadline:
            code, how = "attempt_timeout", "did not answer within the time of the call; raise timeout"
        elif self._first_token_by:
            code, how = "first_token_timeout", "sent no token in time; raise timeouts.first_token"
        else:
            code, how = "idle_timeout", "sent nothing in the middle of its reply; raise timeouts.idle"
        return TimeoutError(f"{provider}, asked through litellm, {how}, or try again.", code=code)


def _finished_by_calls(event: Event) -> TypeGuard[Finished]:
    return isinstance(event, Finished) and event.reason == "tool_calls"


async def _next(iterator: Any) -> Any:
    try:
        return await anext(iterator)
    except StopAsyncIteration:
        return None


async def _close(chunks: Any) -> None:
    with suppress(Exception):  # nobody reads it any more
        await chunks.aclose()


def _invents(chunks: Any) -> bool:
    """Whether a finish reason that comes now is litellm's own, the provider having sent none."""
    names = ("received_finish_reason", "intermittent_finish_reason")
    return all(getattr(chunks, name, "unknown") is None for name in names)


def _cut(attempt: Attempt) -> IncompleteStreamError:
    return IncompleteStreamError(
        f"The stream of {attempt.provider} broke off before the answer was complete; try again.", code="cut"
    )
