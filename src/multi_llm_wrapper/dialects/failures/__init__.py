"""Turns any provider's failure into an `LLMError`: HTTP status first, then the structured code, text in last rules.

Which host it came from does not matter: the shapes (`reading`), codes (`codes`) and phrases (`texts`) of all of them
are known at once, since compatible hosts and gateways mix them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import LLMError, MalformedResponseError, RateLimitError
from .. import waits
from .codes import CODES, NOMINAL, by_status
from .reading import Facts, http_status, parse, read
from .texts import TEXT
from .wording import clean, message, printable, redirect

__all__ = ["classify", "in_band"]

_CODE_STATUS = {name: status or 400 for status, name in CODES}
_UNKNOWN = 500
"""Inside HTTP 200, what cannot be told counts as the provider's own failure: the request was accepted."""


def classify(status: int, headers: Mapping[str, str], body: bytes, now: float | None = None) -> LLMError:
    """The error in an HTTP reply that is no success (status >= 300), whichever provider sent it.

    Header names are lower case. `now` (unix seconds) serves only where a header names a moment and there is no Date.
    """
    value = parse(body)
    facts = read(value, headers)
    words = clean(facts.words)
    error, code = _decide(status, facts, words)
    wait = waits.retry_after(headers, value, now)
    if wait is None and error is RateLimitError:
        wait = waits.reset_wait(headers, now)
    if 300 <= status < 400:
        text = redirect(status, headers.get("location") or "")
    else:
        text = message(words, facts.page, status, error)
    return _build(error, text, code, facts, status=status, wait=wait, refused=300 <= status < 500)


def in_band(error: Any, raw: bytes = b"") -> LLMError:
    """The error in an error object (or text) found inside HTTP 200; `raw` is the body or event it was found in.

    A number in it that is an HTTP status counts as the status, else the status that an error of its type would have.
    """
    facts = read(error)
    if raw and not (facts.words and facts.request_id):
        around = read(parse(raw))
        facts = facts._replace(
            words=facts.words or around.words, request_id=facts.request_id or around.request_id, page=around.page
        )
    words = clean(facts.words)
    status = facts.status or _nominal(facts)
    kind, code = _decide(status, facts, words)
    wait = waits.retry_after({}, error)
    text = message(words, facts.page, None, kind)
    return _build(kind, text, code, facts, status=facts.status, wait=wait, refused=status < 500)


def _decide(status: int, facts: Facts, words: str) -> tuple[type[LLMError], str | None]:
    """The class, and the structured code to report: the one that decided, else the first that is not just a status."""
    if status < 300:
        return MalformedResponseError, _code(facts)
    for name in facts.names:
        error = CODES.get((status, _key(name)))
        if error is None and 400 <= status < 500:
            error = CODES.get((None, _key(name)))
        if error is not None:
            return error, clean(name)
    for rule in TEXT:
        if status in rule.statuses and rule.pattern.search(words):
            return rule.error, _code(facts)
    return by_status(status), _code(facts)


def _nominal(facts: Facts) -> int:
    known = (NOMINAL.get(_key(name)) or _CODE_STATUS.get(_key(name)) for name in facts.names)
    return next(filter(None, known), _UNKNOWN)


def _key(name: str) -> str:
    return name.lower().replace("-", "_")


def _code(facts: Facts) -> str | None:
    named = (name for name in facts.names if http_status(name) is None)
    return clean(next(named, facts.names[0] if facts.names else "")) or None


def _build(
    error: type[LLMError],
    text: str,
    code: str | None,
    facts: Facts,
    *,
    status: int | None,
    wait: float | None,
    refused: bool,
) -> LLMError:
    return error(
        text,
        status_code=status,
        code=code,
        request_id=printable(facts.request_id or "")[:200] or None,
        retry_after=wait,
        rejected_by="provider" if refused else None,
    )
