"""HTTP/1.1 requests from bytes (RFC 9112), without I/O: `feed` what came, take requests from `next`.

Strict where laxness is dangerous (framing), and bounded everywhere: heads, chunk lines, trailers and bodies.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from .plan import SimRequest

MAX_HEAD_BYTES = 64 * 1024
MAX_CHUNK_LINE = 4096

_TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(_TOKEN.join(["(", r") ([^\x00-\x20\x7f]+) HTTP/(\d)\.(\d)"]))
_HEADERS = re.compile(rf"(?:{_TOKEN}:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")
_START = re.compile(rf"{_TOKEN}(?: |$)".encode())
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f]*)?")
_AUTHORITY = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


class BadRequestError(Exception):
    """What came cannot be read on; answer with `status` and close. `head` is the request as far as it was read."""

    def __init__(self, status: int, reason: str, head: SimRequest | None = None) -> None:
        super().__init__(f"{status} {HTTPStatus(status).phrase}: {reason}")
        self.status = status
        self.head = head


class RequestParser:
    """One connection's requests, one after the other; pipelined ones wait in the buffer."""

    def __init__(self, max_body_bytes: int, max_head_bytes: int = MAX_HEAD_BYTES) -> None:
        self._max_body = max_body_bytes
        self._max_head = max_head_bytes
        self._buffer = bytearray()
        self._looked = 0  # so many bytes are known to hold no end of the head
        self._head: SimRequest | None = None  # a head was read, its body has not all come
        self._body: _Body | None = None
        self._continue = False
        self.keep_alive = True
        """Whether the client wants the connection kept after the request last taken."""
        self.chunked_ok = True
        """Whether it understands chunked transfer coding (HTTP/1.1)."""

    @property
    def buffered(self) -> int:
        """Bytes that no request has been made of yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> SimRequest | None:
        """The next whole request, None when more bytes are needed. Raises `BadRequestError`."""
        if self._head is None and not self._read_head():
            return None
        head, body = self._head, self._body
        if head is None or body is None or not body.read(self._buffer):
            return None
        self._head = self._body = None
        return SimRequest(head.method, head.path, head.query, head.headers, body.data) if body.data else head

    def wants_continue(self) -> bool:
        """Once for each request: the client waits for a `100 Continue` before it sends the body (RFC 9110, 10.1.1)."""
        waits, self._continue = self._continue and not self._buffer, False
        return waits

    def _read_head(self) -> bool:
        buffer = self._buffer
        while buffer[:2] == b"\r\n":  # some clients end a body with one line end too many (RFC 9112, 2.2)
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", max(0, self._looked - 3))
        if end > self._max_head or (end < 0 and len(buffer) > self._max_head):
            raise BadRequestError(431, f"the head has more than {self._max_head:,} bytes")
        if end < 0:
            self._looked = len(buffer)
            _check_start(buffer)
            return False
        text = buffer[: end + 2].decode("latin-1")
        del buffer[: end + 4]
        self._looked = 0
        self._open(text)
        return True

    def _open(self, text: str) -> None:
        first, _, rest = text.partition("\r\n")
        match = _REQUEST_LINE.fullmatch(first)
        if match is None:
            raise BadRequestError(400, "the first line is not a request line")
        method, target, major, minor = match.groups()
        if major != "1":
            raise BadRequestError(505, "only HTTP/1.0 and 1.1 are spoken here")
        headers = _headers(rest)
        path, _, query = _AUTHORITY.sub("", target, count=1).partition("?")
        self.chunked_ok = minor != "0"
        options = headers.get("connection", "").lower()
        self.keep_alive = "close" not in options if self.chunked_ok else "keep-alive" in options
        self._continue = self.chunked_ok and headers.get("expect", "").lower() == "100-continue"
        self._head = SimRequest(method, path or "/", query, headers)
        self._body = self._framing(self._head)

    def _framing(self, head: SimRequest) -> _Body:
        """How the body is framed (RFC 9112, 6.3); what two readers could read in two ways is refused."""
        coding, length = head.headers.get("transfer-encoding"), head.headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked":
                raise BadRequestError(501, "of the transfer codings only chunked is known", head)
            if length is not None or not self.chunked_ok:
                raise BadRequestError(400, "the length of the body is given twice", head)
            return _ChunkedBody(self._max_body, head)
        if length is None:
            return _LengthBody(0)
        values = {value.strip() for value in length.split(",")}
        if len(values) != 1 or not (value := values.pop()).isascii() or not value.isdigit() or len(value) > 18:
            raise BadRequestError(400, "Content-Length is not a number", head)
        if int(value) > self._max_body:
            raise BadRequestError(413, f"the body has more than {self._max_body:,} bytes", head)
        return _LengthBody(int(value))


class _Body:
    """Takes what belongs to it from the front of a buffer; `read` says whether it is whole."""

    data: bytes

    def read(self, buffer: bytearray) -> bool:
        raise NotImplementedError


class _LengthBody(_Body):
    def __init__(self, length: int) -> None:
        self._length = length
        self.data = b""

    def read(self, buffer: bytearray) -> bool:
        length = self._length
        if len(buffer) < length:
            return False
        if length:
            self.data = bytes(memoryview(buffer)[:length])
            del buffer[:length]
        return True


class _ChunkedBody(_Body):
    """RFC 9112, 7.1: size line, data, line end, ..., a chunk of size 0, trailers (which are dropped)."""

    def __init__(self, max_bytes: int, head: SimRequest) -> None:
        self._max = max_bytes
        self._head = head
        self._parts: list[bytes] = []
        self._size = 0
        self._left = -1  # of the chunk being read, its line end included; -1: a size line comes next
        self._trailers = -1  # their bytes so far; -1: not there yet
        self.data = b""

    def read(self, buffer: bytearray) -> bool:
        while self._trailers < 0:
            if not (self._size_line(buffer) if self._left < 0 else self._chunk(buffer)):
                return False
        while (line := self._line(buffer)) is not None:
            self._trailers += len(line) + 2
            if self._trailers > MAX_HEAD_BYTES:
                raise BadRequestError(431, "the trailers are too long", self._head)
            if not line:
                self.data = b"".join(self._parts)
                return True
        return False

    def _line(self, buffer: bytearray) -> bytes | None:
        end = buffer.find(b"\r\n", 0, MAX_CHUNK_LINE)
        if end < 0:
            if len(buffer) >= MAX_CHUNK_LINE:
                raise BadRequestError(400, "a chunk's size line or a trailer is too long", self._head)
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def _size_line(self, buffer: bytearray) -> bool:
        line = self._line(buffer)
        if line is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise BadRequestError(400, "a chunk's size is not a hexadecimal number", self._head)
        size = int(match[1], 16)
        self._size += size
        if self._size > self._max:
            raise BadRequestError(413, f"the body has more than {self._max:,} bytes", self._head)
        if size:
            self._left = size + 2
        else:
            self._trailers = 0
        return True

    def _chunk(self, buffer: bytearray) -> bool:
        left = self._left
        if len(buffer) < left:
            return False
        if buffer[left - 2 : left] != b"\r\n":
            raise BadRequestError(400, "a chunk is not as long as its size line says", self._head)
        self._parts.append(bytes(memoryview(buffer)[: left - 2]))
        del buffer[:left]
        self._left = -1
        return True


def _headers(text: str) -> dict[str, str]:
    """The header lines, each with its end, under lower-case names; lines of one name are joined (RFC 9110, 5.3)."""
    if not _HEADERS.fullmatch(text):
        raise BadRequestError(400, "a header line is malformed")
    headers: dict[str, str] = {}
    for line in text.split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _check_start(buffer: bytearray) -> None:
    """Bytes that cannot become a request are refused at once instead of waited with."""
    line = bytes(buffer[:256]).split(b"\r\n", 1)[0]
    if line not in (b"", b"\r") and not _START.match(line):
        raise BadRequestError(400, "the first line is not a request line")


__all__ = ["MAX_HEAD_BYTES", "BadRequestError", "RequestParser"]
