"""What is kept of an answer, and its form in bytes: MessagePack, never pickle.

What leaves this process gets a version byte and a seal: a digest of the bytes, made with the key they are kept under.
Bytes that rotted, were cut short, or come back for another key (from a client that mixes up the answers of its server)
do not fit it.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from ..types import Reply

FORM = b"\x02"
"""The version of the form; bytes that begin otherwise are not read."""
SKEW = 60.0
"""Seconds by which the clocks of two machines may differ; an entry from further ahead is not believed."""
_SEAL = 8
_HEAD = len(FORM) + _SEAL


class CorruptError(Exception):
    """These bytes are not an entry of that key."""


class Entry(Struct, frozen=True, array_like=True):
    """`at` is when the answer came (unix seconds), `ttl` for how many seconds it holds, `provider` and `model` who gave
    it; the rest is what the wire said."""

    at: float
    ttl: float
    provider: str | None
    model: str | None
    reply: Reply
    request_id: str | None = None
    raw: bytes | None = None

    def age(self, now: float) -> float:
        """In seconds; never negative, also when a clock was set back."""
        return max(0.0, now - self.at)

    def holds(self, now: float, at_most: float | None = None) -> bool:
        """Whether it may still be given, to one who wants no answer older than `at_most` seconds."""
        return -SKEW <= now - self.at < (self.ttl if at_most is None else min(self.ttl, at_most))


_decode = msgspec.msgpack.Decoder(Entry).decode


def encode(entry: Entry) -> bytes | None:
    """None when it cannot be written: a provider's own field with a number of more than 64 bits."""
    try:
        return msgspec.msgpack.encode(entry)
    except (OverflowError, TypeError, ValueError, RecursionError):
        return None


def decode(body: bytes) -> Entry:
    """Raises `CorruptError`."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptError from error


def seal(key: str, body: bytes) -> bytes:
    return FORM + _digest(key, body) + body


def unseal(key: str, value: bytes) -> bytes:
    """Raises `CorruptError`."""
    body = value[_HEAD:]
    if value[:_HEAD] != FORM + _digest(key, body):
        raise CorruptError
    return body


def _digest(key: str, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_SEAL, key=key.encode()).digest()


__all__ = ["FORM", "SKEW", "CorruptError", "Entry", "decode", "encode", "seal", "unseal"]
