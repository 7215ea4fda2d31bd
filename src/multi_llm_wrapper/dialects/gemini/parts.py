"""A turn of the model as Gemini writes it: a list of parts, and what can be said of it in canonical words.

    {"text": "..."}                          text
    {"text": "...", "thought": true}         a summary of the reasoning
    {"functionCall": {"name", "args"}}       a tool call, whole; only newer models give it an "id"
    {..., "thoughtSignature": "..."}         on any part: opaque, to be sent back as it came
    {"executableCode": ...}, ...             what happened on the provider's side: opaque

Source: https://ai.google.dev/api/caching#Part; the recordings agree.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ...errors import MalformedResponseError
from ...types import NativeMessage
from .. import shape

NAME = "gemini"

_READ = frozenset({"text", "thought", "thoughtSignature"})
_CALL = frozenset({"id", "name", "args"})
_PLAIN = frozenset({"text", "thought"})
_OUR_ID = re.compile(r"call_\d+(_[0-9a-f]{8})?")


# --- tool calls -------------------------------------------------------------------------------------------------


def made_up_id(index: int, response_id: str | None) -> str:
    """The id of a call that the provider gave none: the same for the same answer, streamed or not, and another one
    in the next turn (Anthropic refuses a conversation that uses an id twice)."""
    return f"call_{index}_{zlib.crc32(response_id.encode()):08x}" if response_id else f"call_{index}"


def is_made_up(call_id: str) -> bool:
    return _OUR_ID.fullmatch(call_id) is not None


def call_in(part: dict[str, Any]) -> dict[str, Any] | None:
    """The complete function call in a part. One without a name, or in pieces (Vertex, on request), is opaque."""
    call = part.get("functionCall")
    if call is None:
        return None
    call = shape.obj(call, "functionCall")
    if not shape.text(call.get("name"), "functionCall.name") or call.get("partialArgs") or call.get("willContinue"):
        return None
    shape.text(call.get("id"), "functionCall.id")
    shape.obj(call.get("args"), "functionCall.args")
    return call


def arguments_of(call: dict[str, Any]) -> str:
    """The arguments as compact JSON text."""
    args = call.get("args")
    return shape.encode(args).decode() if args else "{}"


def is_opaque(part: dict[str, Any], call: dict[str, Any] | None) -> bool:
    """Whether the part holds anything but text, thought, signature and a complete call."""
    if call is None:
        return not part.keys() <= _READ
    return not (part.keys() <= _READ | {"functionCall"} and call.keys() <= _CALL)


# --- the turn as a whole ----------------------------------------------------------------------------------------


def native(parts: Sequence[dict[str, Any]]) -> NativeMessage | None:
    """The turn to send back verbatim; None when text and calls say all of it. Pieces of text are joined, so that it
    does not matter how the provider cut them."""
    return NativeMessage(NAME, {"parts": joined(parts)}) if any(map(_says_more, parts)) else None


def _says_more(part: dict[str, Any]) -> bool:
    if len(part) > 1:
        return True
    return bool(part) and "text" not in part and is_opaque(part, call_in(part))


def joined(parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours that are nothing but text, or nothing but thought, become one part; empty ones are left out."""
    out: list[dict[str, Any]] = []
    for kind, run in itertools.groupby(parts, _kind):
        if kind is None:
            out += [part for part in run if part]
        elif text := "".join(part["text"] for part in run):
            out.append({"text": text, **kind})
    return out


def _kind(part: dict[str, Any]) -> dict[str, Any] | None:
    """What a part of nothing but text says beside it; None for other parts."""
    if not part.keys() <= _PLAIN or type(part.get("text")) is not str or part.get("thought", True) is not True:
        return None
    return {"thought": True} if "thought" in part else {}


def text_in(parts: Iterable[dict[str, Any]]) -> str:
    """What the model said, without its thoughts."""
    return "".join(shape.text(part.get("text"), "text") for part in parts if not part.get("thought"))


def parts_saying(message: NativeMessage | None, text: str, calls: Sequence[tuple[str, str]]) -> list[Any] | None:
    """The native parts, if they still say what the message says: this text and these calls (name, arguments as JSON
    text). None when there are none, or when the caller has changed the message since."""
    parts = message.fields.get("parts") if message is not None and message.dialect == NAME else None
    if type(parts) is not list or not parts or not all(type(part) is dict for part in parts):
        return None
    try:
        found = [call for part in parts if (call := call_in(part)) is not None]
        same = text_in(parts) == text and len(found) == len(calls)
        same = same and all(itertools.starmap(_same_call, zip(found, calls, strict=True)))
    except (MalformedResponseError, RecursionError):
        return None
    return parts if same else None


def _same_call(call: dict[str, Any], said: tuple[str, str]) -> bool:
    name, arguments = said
    return bool(call["name"] == name and (call.get("args") or {}) == read_arguments(arguments))


def read_arguments(text: str) -> dict[str, Any] | None:
    """Arguments from their JSON text ("" is no arguments); None where it is not an object."""
    try:
        value = msgspec.json.decode(text.encode()) if text.strip() else {}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if type(value) is dict else None
