"""Anthropic Messages, both ways.

https://docs.anthropic.com/en/api/messages and .../build-with-claude/streaming

    client   request, turns        canonical request -> body
             reply, blocks         body or stream -> events
    server   server, conversation  body -> canonical request, refused as the real API refuses it
             answer, stream        canonical reply -> body or stream
             errors                failures
    both     words                 stop reasons, efforts, usage
"""

from __future__ import annotations

from ...types import Usage
from ..base import never_plain
from .answer import encode_reply
from .errors import encode_error
from .reply import Decoder
from .request import encode_request
from .server import decode_request
from .stream import Encoder
from .words import NAME, read_usage

name = NAME
decoder = Decoder
plain = never_plain


def encoder(
    *, response_id: str, model: str, created: int, include_usage: bool = True, usage: Usage | None = None
) -> Encoder:
    """`created` has no place on this wire, and usage always goes with it. `usage`: what is known at the start, as the
    real API says its input tokens in the first event already."""
    return Encoder(response_id, model, usage)


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
]
