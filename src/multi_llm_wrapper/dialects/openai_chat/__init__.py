"""OpenAI Chat Completions, the protocol that most hosts speak: `POST {base_url}/chat/completions`.

    request   canonical request -> body                 (client)
    reply     body or chunks -> events                  (client), with `message`, `calls`, `pieces`
    server    body -> canonical request                 (server), with `rejection`
    write     canonical reply or error -> body          (server)
    stream    events -> chunks                          (server)
    plain     the usual body -> reply, the short way     (client)
    usage, finish: token counts and finish reasons, both directions

The package itself is the dialect (`dialects.base.Dialect`).
"""

from __future__ import annotations

from .plain import plain
from .reply import Decoder
from .request import DIALECT, encode_request
from .server import decode_request, wants_usage
from .stream import Encoder
from .usage import read_usage
from .write import encode_error, encode_reply

name = DIALECT

decoder = Decoder
encoder = Encoder

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
    "wants_usage",
]
