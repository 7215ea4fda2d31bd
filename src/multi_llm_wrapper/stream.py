"""A streamed call: chunks as they come, and the response they add up to.

Until the first piece of content reached the caller a failed attempt is repeated unseen, by the same budget as in
`query()`; after it, a failure is an `error` chunk and the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from . import response
from .attempt import whole
from .caching.broadcast import LAST, Reader
from .caching.cache import Outcome
from .caching.flight import Shared
from .call import Call, unexpected
from .errors import IncompleteStreamError, LLMError
from .options import Options, Prompt
from .response import Chunk, Facts, Response
from .sources import Source, start
from .types import Event, ReasoningDelta, Reply, TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from .wrapper import LLMWrapper

T = TypeVar("T")


class _ClosedError(BaseException):
    """Another task closed the stream while this one waited for something. No `Exception`, so that nobody takes it for
    a failure of the attempt."""


class ResponseStream:
    """Async iterator of `Chunk`s and async context manager; `response` is complete after the end, partial before.

    A failure arrives as an `error` chunk and ends the iteration; only cancellation and `raise_on_error` raise. Leaving
    the `async with` block, `aclose()` and cancelling the task close the connection at once.
    """

    _may_raise = True

    def __init__(self, wrapper: LLMWrapper, prompt: Prompt, model: str | None, options: Options) -> None:
        self._wrapper = wrapper
        self._arguments = (prompt, model, options)
        self._call: Call | None = None
        self._source: Source | None = None
        self._reader: Reader[Outcome] | None = None  # where the chunks come from when the cache is on
        self._ready: list[Event] | None = None  # the source's first events, where they were waited for
        self._chunks: deque[Chunk] = deque()
        self._first_token: float | None = None
        self._delivered = False  # the caller has seen content of the present attempt
        self._called_tool = False
        self._response: Response | None = None
        self._raises: LLMError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Task[object] | None = None

    # --- for the caller -----------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        chunks = self._chunks
        while not chunks:
            if self._response is not None:
                if self._raises is not None:
                    error, self._raises = self._raises, None
                    raise error
                raise StopAsyncIteration
            try:
                await self._advance()
            except _ClosedError:
                continue
            except asyncio.CancelledError:
                await self.aclose()
                raise
            except BaseException:
                self._close()
                raise
        return chunks.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection if the answer is not complete; harmless when repeated. An iteration that waits in
        another task comes to its end."""
        call, reader = self._call, self._reader
        self._close()
        if call is not None and reader is not None and reader.work is not None:
            await self._abandoned(call, reader.work)

    def __del__(self) -> None:
        """Dropped half read, as `break` does it: closed like a stream that is left properly, in the loop's thread."""
        loop = self._loop
        if (self._source is None and self._reader is None) or loop is None:
            return
        with suppress(Exception):  # the loop or the interpreter has ended: there is nothing left to do
            if loop.is_running() and asyncio._get_running_loop() is not loop:
                loop.call_soon_threadsafe(self._close)
            else:
                self._close()

    @property
    def response(self) -> Response:
        """What the chunks so far add up to; the same as `query()` would have given once the stream has ended."""
        if self._response is not None:
            return self._response
        reply, call = self._partial() or Reply(), self._call
        provider, model = (call.provider, call.model) if call is not None else (None, None)
        return response.success(reply, Facts(provider, model, self._wrapper.clock.time(), 0.0))

    def _partial(self) -> Reply | None:
        if self._reader is not None:
            return self._reader.partial()
        return self._source.fold.reply() if self._source is not None else None

    # --- attempts -----------------------------------------------------------------------------------------------

    async def _advance(self) -> None:
        """One step: until there are chunks, or the stream has ended, or a failed attempt is to be repeated."""
        call = self._call or self._begin()
        try:
            if not call.budgeted:
                call.prepare()
                self._reader = self._wrapper._cache.reader(call, partial(_Upstream, self._wrapper, call))
            if self._reader is not None:
                await self._follow(call, self._reader)
                return
            source = self._source
            if source is None:
                begun = await self._wait(start(call, hedged=self._first_token is None))
                source, self._ready = begun
                self._source = source
            events, self._ready = self._ready or await source.next(), None
            if self._response is not None:
                return  # closed in the meantime
            if events is not None:
                self._deliver(call, source, events)
                return
            await self._wait(call.priced())
            if self._response is None:
                self._succeed(call, source)
        except LLMError as error:
            await self._recover(call, error)
        except Exception as error:
            await self._recover(call, unexpected(error))

    def _begin(self) -> Call:
        self._loop = asyncio.get_running_loop()
        self._call = self._wrapper.new_call(*self._arguments, stream=True)
        return self._call

    async def _follow(self, call: Call, reader: Reader[Outcome]) -> None:
        """The way by the cache: what a stream that others may read too, or a stored answer, has for this reader."""
        chunks = await self._wait(reader.next())
        if self._response is not None:
            return  # closed in the meantime
        cache = self._wrapper._cache
        if reader.finished and self._first_token is None and cache.cut_short(call, reader):
            self._reader = cache.reader(call, partial(_Upstream, self._wrapper, call))
            return
        answer = cache.conclude(call, reader) if reader.finished else None
        if answer is not None and not chunks:
            chunks = _replay(answer)
        if self._first_token is None and chunks[0].type not in LAST:
            self._first_token = call.now() - call.started
        if answer is not None:
            self._conclude(call, reader, answer, chunks)
        self._chunks.extend(chunks)

    def _conclude(self, call: Call, reader: Reader[Outcome], answer: Response, chunks: list[Chunk]) -> None:
        self._reader, self._response = None, answer
        if not reader.leads or answer["metadata"]["cached"]:
            answer["metadata"]["time_to_first_token"] = self._first_token
        if chunks[-1].type == "error" and call.raises:
            chunks.pop()
            self._raises = answer.exception()

    async def _wait(self, work: Awaitable[T]) -> T:
        """Waits for what `_close` in another task has to end."""
        task = self._waiting = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        try:
            return await work
        except asyncio.CancelledError:
            if task is not None and self._response is not None and task.uncancel() <= before:
                raise _ClosedError from None
            raise
        finally:
            self._waiting = None

    def _deliver(self, call: Call, source: Source, events: list[Event]) -> None:
        provider, model, add = call.provider, call.model, self._chunks.append
        for event in events:
            kind = type(event)
            if kind is TextDelta:
                add(Chunk(type="text", content=event.text, provider=provider, model=model))  # type: ignore[union-attr]  # of `kind`
            elif isinstance(event, ReasoningDelta):
                add(Chunk(type="reasoning", reasoning=event.text, provider=provider, model=model))
            elif isinstance(event, ToolCallDelta):
                add(_tool_chunk(event, provider, model))
                self._called_tool = True
        if self._chunks and not self._delivered:
            self._delivered = True
            source.received()
            if self._first_token is None:
                self._first_token = call.now() - call.started

    async def _recover(self, call: Call, error: LLMError) -> None:
        """Another attempt: unseen while the caller has seen nothing, announced where it wants that; else the error."""
        if self._response is not None:
            return  # closed in the meantime: what it broke is no failure
        if not call.budgeted:
            self._fail(call, error)
            return
        restart = self._delivered and call.restarts and not self._called_tool
        wait = call.after_failure(error, may_retry=restart or not self._delivered, restart=restart)
        if wait is None:
            self._fail(call, error)
            return
        self._drop_source()
        if restart:
            self._delivered = False
            self._chunks.append(Chunk(type="restart", provider=call.provider, model=call.model))
        await self._wait(call.sleep(wait))

    # --- ends ---------------------------------------------------------------------------------------------------

    def _succeed(self, call: Call, source: Source) -> None:
        reply = whole(source.fold, call.target)
        self._source = None
        first = self._first_token
        took = None if first is None else call.started + first - call.leg.began
        call.ended(call.leg, None, took=took if took and took > 0 else None)  # else the token was of an attempt before
        self._response = call.succeeded(
            reply, source.request_id, source.rate_limit, first_token=self._first_token, raw=source.raw
        )
        self._chunks.append(_end_chunk(self._response))

    def _fail(self, call: Call, error: LLMError) -> None:
        source = self._source
        self._response = call.failed(
            error,
            source.fold.reply() if source is not None else None,
            request_id=source.request_id if source is not None else None,
            rate_limit=source.rate_limit if source is not None else None,
            first_token=self._first_token,
            raw=source.raw if source is not None else None,
        )
        self._drop_source()
        if self._may_raise and call.raises:
            self._raises = self._response.exception()
            return
        self._chunks.append(
            Chunk(
                type="error",
                status="error",
                error=self._response["error"],
                error_type=self._response["error_type"],
                provider=self._response["provider"],
                model=self._response["model"],
            )
        )

    def _close(self) -> None:
        """The caller leaves: what has come is kept, as an answer that is not whole."""
        call, reader = self._call, self._reader
        reply = self._partial() if self._response is None else None
        self._drop_source()
        if self._response is not None:
            return
        error = IncompleteStreamError("The stream was closed before the answer was complete.", code="closed")
        if call is not None and call.budgeted:
            if reader is None:
                self._response = call.abandoned(error, reply, self._first_token)
            else:
                self._response = call.left(error, reply, self._first_token, reader.work)
        else:
            self._response = response.failure(error, Facts(None, None, self._wrapper.clock.time(), 0.0))
        self._chunks.clear()
        if self._waiting is not None and self._waiting is not asyncio.current_task():
            self._waiting.cancel()

    async def _abandoned(self, call: Call, work: Shared) -> None:
        """What was read for this one alone ends with it, and says what had been asked and reported by then."""
        if not work.task.cancelling() or work.loop is not asyncio.get_running_loop():
            return
        await asyncio.wait((work.task,))
        if call.given_up is not None and self._response is not None:
            own = {name: self._response["metadata"][name] for name in ("response_time", "time_to_first_token")}
            self._response["metadata"].update({**call.given_up["metadata"], **own})

    def _drop_source(self) -> None:
        if self._source is not None:
            self._source.abort()
            self._source = None
        if self._reader is not None:
            self._reader.leave()
            self._reader = None


class _Upstream(ResponseStream):
    """The stream behind those that read it together: of one call, and with its failure as a chunk."""

    _may_raise = False

    def __init__(self, wrapper: LLMWrapper, call: Call) -> None:
        super().__init__(wrapper, "", None, {})
        self._call = call
        self._loop = asyncio.get_running_loop()

    async def batch(self) -> list[Chunk]:
        """The next chunks, at least one; the last of all is an `end` or an `error`."""
        chunks = [await anext(self), *self._chunks]
        self._chunks.clear()
        return chunks


def _tool_chunk(event: ToolCallDelta, provider: str | None, model: str | None) -> Chunk:
    return Chunk(
        type="tool_call",
        index=event.index,
        id=event.id,
        name=event.name,
        arguments_delta=event.arguments,
        provider=provider,
        model=model,
    )


def _end_chunk(answer: Response) -> Chunk:
    usage = answer.usage
    return Chunk(
        type="end",
        finish_reason=answer.finish_reason,
        usage=dict(usage) if usage is not None else None,
        provider=answer["provider"],
        model=answer["model"],
    )


def _replay(answer: Response) -> list[Chunk]:
    """A whole answer as the chunks of a stream."""
    who = {"provider": answer["provider"], "model": answer["model"]}
    chunks = [Chunk(type="reasoning", reasoning=answer["reasoning"], **who)] if answer["reasoning"] is not None else []
    if answer["content"]:
        chunks.append(Chunk(type="text", content=answer["content"], **who))
    for index, tool in enumerate(answer["tool_calls"]):
        arguments = tool["arguments_raw"]
        chunks.append(
            Chunk(type="tool_call", index=index, id=tool["id"], name=tool["name"], arguments_delta=arguments, **who)
        )
    return [*chunks, _end_chunk(answer)]


__all__ = ["ResponseStream"]
