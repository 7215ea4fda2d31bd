"""Gemini, `generateContent` and `streamGenerateContent?alt=sse`, both ways.

https://ai.google.dev/api/generate-content

    client   request, turns        canonical request -> body
             reply                 body or stream -> events
    server   server, conversation  body -> canonical request, read by the rules of `wire`
             answer, stream        canonical reply -> body or stream
             errors                failures
    both     parts                 what a turn of the model is made of
"""

from __future__ import annotations

from ..base import never_plain
from .answer import encode_reply
from .errors import encode_error
from .parts import NAME
from .reply import Decoder, read_usage
from .request import encode_request
from .server import decode_request, wants_thoughts
from .stream import Encoder

name = NAME
decoder = Decoder
plain = never_plain


def encoder(*, response_id: str, model: str, created: int, include_usage: bool = True) -> Encoder:
    """`created` has no place on this wire, and usage always goes with it."""
    return Encoder(response_id, model)


__all__ = [
    "Decoder",
    "Encoder",
    "decode_request",
    "decoder",
    "encode_error",
    "encode_reply",
    "encode_request",
    "encoder",
    "name",
    "plain",
    "read_usage",
    "wants_thoughts",
]
