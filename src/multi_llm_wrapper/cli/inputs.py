"""What is asked: the prompt from the arguments, standard input and files, images, and the schema of the answer."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from . import terminal
from .exits import BAD_INPUT, Problem

PATIENCE = 2.0
"""Seconds without an end of standard input after which we say that we wait for it."""

IMAGES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)
"""What a picture that every provider takes begins with."""


def prompt(text: str | None, files: Sequence[str], images: Sequence[str]) -> str | list[dict[str, Any]]:
    """The prompt for the library: a text, or with images a message. Raises click's exceptions for what is no use."""
    words = "\n\n".join(part for part in _parts(text, files) if part.strip())
    if not words:
        raise click.UsageError("there is no prompt; give one as an argument, on standard input or with -f")
    if not images:
        return words
    content = [
        {"type": "text", "text": words},
        *({"type": "image_url", "image_url": {"url": image(i)}} for i in images),
    ]
    return [{"role": "user", "content": content}]


def _parts(text: str | None, files: Sequence[str]) -> list[str]:
    """Argument, standard input, files. Standard input is read when it is asked for or not a terminal."""
    parts = [] if text in (None, "-") else [str(text)]
    if text == "-" or ("-" not in files and not terminal.is_terminal(sys.stdin)):
        parts.append(standard_input(wanted=text == "-"))
    for name in files:
        parts.append(standard_input(wanted=True) if name == "-" else f"{Path(name).name}:\n\n{_file(name)}")
    return parts


def standard_input(*, wanted: bool) -> str:
    """All of it. Who left it open by accident must not wonder why nothing happens."""
    if sys.stdin is None:
        return ""
    hint = "Ctrl-D ends it" if terminal.is_terminal(sys.stdin) else "give </dev/null if there is none"
    notice = threading.Timer(0 if wanted and terminal.is_terminal(sys.stdin) else PATIENCE, _waiting, [hint])
    notice.daemon = True
    notice.start()
    try:
        return _text(sys.stdin.buffer.read(), "standard input")
    finally:
        notice.cancel()


def _waiting(hint: str) -> None:
    terminal.tell(f"Reading the prompt from standard input; {hint}.")


def _file(name: str) -> str:
    return _text(_bytes(name), name)


def _bytes(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Problem(f"{name} cannot be read: {error.strerror or error}", BAD_INPUT) from None


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        hint = "; for a picture use --image" if _media_type(data) else ""
        raise Problem(f"{name} is not text in UTF-8{hint}", BAD_INPUT) from None


def image(place: str) -> str:
    """A URL as it is, a file as a data URL."""
    if place.startswith(("https://", "http://", "data:")):
        return place
    data = _bytes(place)
    kind = _media_type(data)
    if kind is None:
        raise Problem(f"{place} is no PNG, JPEG, GIF or WebP picture; convert it to one", BAD_INPUT)
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _media_type(data: bytes) -> str | None:
    for start, kind in IMAGES:
        if data.startswith(start) and (kind != "image/webp" or data[8:12] == b"WEBP"):
            return kind
    return None


def schema(given: str | None) -> dict[str, Any] | None:
    """`--schema`: JSON text when it begins with a brace, else a file with it."""
    if given is None:
        return None
    import msgspec

    inline = given.lstrip().startswith("{")
    name = "--schema" if inline else f"--schema {given}"
    try:
        value = msgspec.json.decode(given if inline else _file(given))
    except msgspec.DecodeError as error:
        raise Problem(f"{name} is no JSON: {error}", BAD_INPUT) from None
    if not isinstance(value, dict):
        raise Problem(f'{name} is no JSON schema; give an object such as {{"type": "object", ...}}', BAD_INPUT)
    return value
