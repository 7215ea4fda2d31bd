"""An attempt through litellm, the extra `[litellm]`, in place of a dialect and a transport of our own.

litellm takes a request in OpenAI's words and gives objects in OpenAI's shape, whatever the provider. So the request is
that of the OpenAI dialect as keyword arguments, and what comes back is read by its decoder. It never retries here, and
it is called through its module, so that a test may patch `litellm.acompletion`.

    attempt      a leg of a call, as it is seen here
    package      the import of litellm, which is late and quiet
    request      attempt -> keyword arguments
    reply        the answer: objects -> `Answer`
    chunks       objects -> the events of a stream
    exceptions   litellm's exceptions -> classes of ours
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..attempt import Answer
from . import attempt, reply
from .chunks import ChunkStream
from .package import check

if TYPE_CHECKING:
    from ..call import Call
    from ..legs import Leg


async def answer(call: Call, leg: Leg, deadline: float) -> Answer:
    """One attempt, before loop time `deadline`. Raises `LLMError`."""
    asked = attempt.of(call, leg)
    return reply.whole(await reply.ask(asked, deadline), asked)


async def open_stream(call: Call, leg: Leg, deadline: float) -> ChunkStream | Answer:
    """One streamed attempt, or the whole answer when that is what came. Raises `LLMError`."""
    asked = attempt.of(call, leg)
    result = await reply.ask(asked, deadline)
    if hasattr(result, "__aiter__") and not isinstance(getattr(result, "choices", None), list):
        return ChunkStream(result, asked, deadline)
    return reply.whole(result, asked)


__all__ = ["ChunkStream", "answer", "check", "open_stream"]
