"""What litellm raises, as classes of ours.

Its exceptions keep what they came from, down to the provider's own reply. That reply decides, as it would have without
litellm; where there is none, the class and the status of the exception do, and never its text.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping

from .. import foreign
from ..errors import ConnectionError, GeneralError, LLMError, MalformedResponseError

_FOUND_OUT = frozenset(("ContextWindowExceededError", "ContentPolicyViolationError", "UnsupportedParamsError"))
"""What litellm says by the class alone."""
_NETWORK = frozenset(("TransportError", "ClientError"))
"""Base classes of httpx and aiohttp for a connection that failed."""
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
"""What Python raises at a reply of another shape."""


def classify(error: Exception, asked: foreign.Asked) -> LLMError:
    """The class for one exception of an attempt."""
    from ..dialects import failures  # at the first failure, as in `attempt`

    name = type(error).__name__
    if name in _FOUND_OUT or isinstance(error, builtins.TimeoutError):
        return foreign.classify(error, asked)
    chain = list(_origins(error))
    for origin in reversed(chain):
        reply = _reply(origin)
        if reply is not None:
            return failures.classify(*reply, asked.clock.time())
    for origin in chain:  # an error inside a stream
        said = getattr(origin, "body", None)
        if said and isinstance(said, dict):
            return failures.in_band(foreign.plain(said))
    return (_stumbled(error, chain, asked) if _may_be_its_own(error) else None) or foreign.classify(error, asked)


def _may_be_its_own(error: Exception) -> bool:
    """litellm calls what happens to itself a failure of the server or of the connection, and a reply that it cannot
    read an entity that cannot be processed. What it finds wrong with a request is a 400."""
    status = getattr(error, "status_code", None)
    return not isinstance(status, int) or status >= 500 or status == 422


def _stumbled(error: Exception, chain: list[BaseException], asked: foreign.Asked) -> LLMError | None:
    """What happened, by the exceptions of Python and of HTTP libraries that it came from."""
    provider, name = asked.provider, type(error).__name__
    for origin in chain:
        what = f"{type(origin).__name__}: {origin}"
        if isinstance(origin, _UNREADABLE):
            return MalformedResponseError(f"litellm could not read the answer of {provider} ({what}).", code=name)
        if _is_network(origin):
            return ConnectionError(f"{provider} could not be reached ({name}: {error}).", code=name)
        if isinstance(origin, ImportError):
            return GeneralError(f"litellm is not installed completely ({what}).", code=name)
    return None


def _origins(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that it came from, the nearest first."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _reply(error: BaseException) -> tuple[int, dict[str, str], bytes] | None:
    """The HTTP reply that an exception carries, with a body: status, headers, body."""
    response = getattr(error, "response", None)
    status, headers = getattr(response, "status_code", None), getattr(response, "headers", None)
    try:
        body = getattr(response, "content", None)
    except Exception:  # of a stream that was not read
        return None
    if not isinstance(status, int) or not isinstance(headers, Mapping) or not isinstance(body, bytes) or not body:
        return None
    return status, {str(name).lower(): str(value) for name, value in headers.items()}, body


def _is_network(error: BaseException) -> bool:
    return isinstance(error, OSError) or any(kind.__name__ in _NETWORK for kind in type(error).__mro__)
