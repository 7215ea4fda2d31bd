"""What makes two requests the same: everything that reaches the provider, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

VERSION = b"mlw1"
"""Changes whenever the key or the stored form does, so that an old entry is never read as a new one."""

_NOT_ASKED = frozenset(("user-agent", "content-type", "accept-encoding"))


def cache_key(provider: str, model: str, url: str, headers: Mapping[str, str], body: bytes, namespace: str = "") -> str:
    """A digest of a finished request. Credentials count too, so that one tenant never sees another's answer."""
    digest = hashlib.blake2b(digest_size=20)
    parts = [VERSION, namespace.encode(), provider.encode(), model.encode(), url.encode()]
    for name in sorted(headers):
        if name not in _NOT_ASKED:
            parts += (name.encode(), headers[name].encode())
    parts.append(body)
    for part in parts:
        # Each part with its length, so that no two lists of parts run together to the same bytes.
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


__all__ = ["VERSION", "cache_key"]
