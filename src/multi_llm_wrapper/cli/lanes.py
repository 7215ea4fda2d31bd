"""One model's answer as it comes in: what the views show, and nothing about how."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ..response import Chunk, Response
    from ..stream import ResponseStream

State: TypeAlias = Literal["waiting", "thinking", "writing", "done", "failed", "interrupted"]


class Lane:
    """`label` is the model as the user named it; `on_change` is called whenever something came."""

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.label = label
        self.provider: str | None = None
        self.pieces: list[str] = []
        self.restarts = 0
        """How often `pieces` began anew."""
        self.state: State = "waiting"
        self.response: Response | None = None
        self.on_change: Callable[[Lane], None] = lambda lane: None
        self._clock = clock
        self._began = clock()

    @property
    def seconds(self) -> float:
        """Since the question was asked; in the end, what the library measured."""
        if self.response is None:
            return self._clock() - self._began
        return float(self.response.metadata["response_time"])

    @property
    def ended(self) -> bool:
        return self.response is not None

    def take(self, chunk: Chunk) -> None:
        self.provider = chunk.provider or self.provider
        if chunk.type == "text":
            self.pieces.append(chunk.content)
            self.state = "writing"
        elif chunk.type == "restart":
            self.pieces = []
            self.restarts += 1
            self.state = "waiting"
        elif chunk.type == "reasoning" and not self.pieces:
            self.state = "thinking"
        self.on_change(self)

    def end(self, response: Response) -> None:
        self.response = response
        self.provider = response.provider or self.provider
        if response.ok:
            self.state = "done"
        else:
            self.state = "interrupted" if response.metadata.get("code") == "closed" else "failed"
        self.on_change(self)


async def follow(stream: ResponseStream, lane: Lane) -> Response:
    """Reads a stream to its end, or until it is cancelled; the lane has an end either way."""
    try:
        async with stream:
            async for chunk in stream:
                lane.take(chunk)
    finally:
        lane.end(stream.response)
    return stream.response


async def follow_all(streams: Sequence[ResponseStream], lanes: Sequence[Lane]) -> list[Response]:
    """All at once; the responses in the order of the streams."""
    tasks = [asyncio.create_task(follow(stream, lane)) for stream, lane in zip(streams, lanes, strict=True)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:  # those that are left when one could not show what it got
            task.cancel()
