"""What makes two requests the same: everything that reaches the provider, and nothing else.

A question that is streamed is keyed by the request that `query()` would have sent, so the two share their answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from ..version import __version__

VERSION = "mlw3"
"""Changes whenever the key or the stored form does, so that an old entry is never read as a new one."""

_OURS = frozenset((("content-type", "application/json"), ("user-agent", f"multi-llm-wrapper/{__version__}")))
"""Headers that ask nothing as long as they have our own value: a new version finds the answers of the old one."""


class Question(Struct, frozen=True, kw_only=True):
    """A finished request, and whom it was meant for.

    `group` is the route that was asked for, `model` the name on the wire. Credentials are among the headers, so that
    one account never sees another's answer; `namespace` parts those who share an account.
    """

    group: str
    dialect: str
    url: str
    model: str
    headers: dict[str, str]
    body: bytes
    namespace: str = ""


def cache_key(questions: Sequence[Question], form: str = "") -> str:
    """A digest, forty hexadecimal digits, of one request, or of those to each of several that may answer. `form` tells
    apart answers that are kept in different ways."""
    digest = hashlib.blake2b(digest_size=20)
    for question in questions:
        parts = [VERSION, form, question.namespace, question.group, question.dialect, question.url, question.model]
        for item in sorted(question.headers.items()):
            if item not in _OURS:
                parts += item
        # Each part with its length, so that no two lists of parts run together to the same text.
        head = "".join([f"{len(part)}:{part}" for part in parts]) + f"|{len(question.body)}:"
        digest.update(head.encode("utf-8", "surrogatepass"))
        digest.update(question.body)
    return digest.hexdigest()


__all__ = ["VERSION", "Question", "cache_key"]
