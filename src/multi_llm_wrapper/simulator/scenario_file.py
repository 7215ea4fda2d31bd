"""Scenario files: TOML or JSON, checked before anything is served; an error names the place and what to do."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from ..types import FinishReason
from .scenario import Answer, Call, Failure, Limits, Mode, ModelSettings, Rule, Scenario, UsageCounts, When

T = TypeVar("T", bound=Struct)

MAX_BYTES = 16 * 1024 * 1024


class ScenarioError(ValueError):
    """A scenario that cannot be used; the text names the file, the place and the remedy."""


def load(path: Path | str) -> Scenario:
    """Reads a file; `.json` is JSON, everything else TOML."""
    name = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ScenarioError(f"{name}: cannot be read ({error.strerror or error}); check the path") from None
    return parse(data, json=name.lower().endswith(".json"), where=name)


def parse(data: bytes, *, json: bool, where: str = "scenario") -> Scenario:
    """A scenario from its text."""
    if len(data) > MAX_BYTES:
        raise ScenarioError(f"{where}: more than {MAX_BYTES:,} bytes; split it")
    try:
        fields = msgspec.json.decode(data) if json else tomllib.loads(data.decode("utf-8-sig"))
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        kind = "JSON" if json else "TOML"
        raise ScenarioError(f"{where}: not {kind}: {error}; mend the syntax there") from None
    return convert(fields, Scenario, where)


def convert(fields: Any, kind: type[T], where: str) -> T:
    """Plain values as one of the scenario's structures. Raises `ScenarioError`."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise ScenarioError(_explain(str(error), fields, kind, where)) from None


_PLACE = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")

_WORDS: dict[str, tuple[str, ...]] = {"mode": get_args(Mode), "finish_reason": get_args(FinishReason)}

_KINDS: dict[str, type[Struct]] = {
    "match": When,
    "tool_calls[]": Call,
    "usage": UsageCounts,
    "error": Failure,
    "sequence[]": Answer,
    "replies[]": Rule,
    "default": Answer,
    "limits": Limits,
    "models{}": ModelSettings,
}
"""What stands at a place, by the last name in its path."""


def _explain(message: str, fields: Any, kind: type[Struct], where: str) -> str:
    match = _PLACE.fullmatch(message)
    what, path = (match["what"], match["path"] or "$") if match else (message, "$")
    place = path.removeprefix("$").lstrip(".")
    if unknown := _UNKNOWN.fullmatch(what):
        what = _unknown(unknown["name"], _kind_at(place, kind))
    elif missing := _MISSING.fullmatch(what):
        what = f"{missing['name']} is missing; add it"
    elif what.startswith("Invalid enum value") and (words := _WORDS.get(place.rpartition(".")[2])):
        what = f"{what[0].lower()}{what[1:]}; write one of {', '.join(words)}"
    elif what.startswith("Expected"):
        what = f"{what[0].lower()}{what[1:]}; change the value".replace("`", "")
    return f"{where}: {place}: {what}" if place else f"{where}: {what}"


def _unknown(name: str, kind: type[Struct]) -> str:
    known = kind.__struct_fields__
    near = get_close_matches(name, known, 1)
    return f"unknown field {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}")


def _kind_at(place: str, kind: type[Struct]) -> type[Struct]:
    """The structure whose field is wrong: that of the last part of the path which is one."""
    last = re.sub(r"\[\d+\]", "[]", place.replace("[...]", "{}")).rpartition(".")[2]
    return _KINDS.get(last, kind)
