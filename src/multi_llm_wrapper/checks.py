"""Checks of configuration values: each takes the field's name and a value, and gives the value to keep.

A wrong value raises a `ValueError` whose message starts with the field and ends with the remedy.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .secret import Secret

Check = Callable[[str, Any], Any]

# lone surrogates (\ud800 and on) have no bytes in UTF-8, so nothing with one in it can be sent
_PART = r"[^\s\x00-\x1f\x7f\ud800-\udfff]+"
_TOKEN = re.compile(_PART)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_HEADER = re.compile(r"[\r\n\0\ud800-\udfff]")
_ENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_QUOTED = re.compile(r"(?:'([^']*)'|\"([^\"]*)\")(?:\s+#.*)?")
MAX_RETRIES = 100
_SHOWN = 100


def shown(value: Any) -> str:
    """`repr`, cut to what a message can bear; whatever the value is, this does not raise."""
    try:
        text = repr(value)
    except Exception:  # an integer of thousands of digits, or a `__repr__` of its own
        return f"an unprintable {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def seconds(value: Any) -> float | None:
    """As a float when it is a time one can wait for, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = value if isinstance(value, float) else float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def refuse(name: str, problem: str, remedy: str) -> ValueError:
    return ValueError(f"{name} {problem}; {remedy}.")


def positive(name: str, value: Any) -> float:
    number = seconds(value)
    if number is None:
        raise refuse(name, f"is {shown(value)}", "give a number greater than 0")
    return number


def positive_or(word: str) -> Check:
    """A number greater than 0, or this one word."""

    def check(name: str, value: Any) -> float | str:
        return word if value == word else positive(name, value)

    return check


def some_of(allowed: Iterable[str]) -> Check:
    """A list of words out of a closed set."""
    known = sorted(allowed)

    def check(name: str, value: Any) -> list[str]:
        if not isinstance(value, list | tuple | set | frozenset):
            raise refuse(name, f"is a {type(value).__name__}", "give a list")
        for word in value:
            if word not in known:
                hint = near(word, known) if isinstance(word, str) else ""
                raise refuse(name, f"has {shown(word)} in it{hint}", f"use some of {', '.join(known)}")
        return list(value)

    return check


def retries(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES:
        raise refuse(name, f"is {shown(value)}", f"give a whole number from 0 to {MAX_RETRIES}")
    return value


def at_least_one(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refuse(name, f"is {shown(value)}", "give a whole number of at least 1")
    return value


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse(name, f"is {shown(value)}", "give True or False")
    return value


def boolean(text: str) -> bool:
    """A flag as text of an environment variable."""
    values = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return values[text.strip().lower()]
    except KeyError:
        raise ValueError("use 1 or 0") from None


def token(name: str, value: Any) -> str:
    """Text that goes into a header or a URL as it is."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise refuse(name, f"is {shown(value)}", "give a text without spaces, line ends or control characters")
    return value


def key(name: str, value: Any) -> Secret:
    """An API key, wrapped so that it is not printed. The messages never hold the key itself."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise refuse(name, f"is a {type(value).__name__}", "give the key as a text")
    if not text.isascii():
        raise refuse(name, "has a character outside ASCII", "copy the key again")
    if text and not _TOKEN.fullmatch(text):
        raise refuse(name, "has a space, a line end or a control character in it", "copy the key again without them")
    return Secret(text)


def url(name: str, value: Any) -> str:
    """The messages do not repeat the value: keys are put here by mistake."""
    example = 'give a URL such as "https://api.example.com/v1"'
    if not isinstance(value, str):
        raise refuse(name, f"is a {type(value).__name__}", example)
    if not _TOKEN.fullmatch(value):
        raise refuse(name, "is empty or has a space, a line end or a control character in it", example)
    if any(mark in value for mark in "@?#"):
        raise refuse(
            name, "has a user name, a query or a fragment in it (@, ? or #)", f"{example}, and keys as api_key"
        )
    parts = _split(value)
    if parts is None or not parts.hostname:
        raise refuse(name, "is no web address: http:// or https://, host, port from 1 to 65535, path", example)
    return value.rstrip("/")


def _split(url: str) -> SplitResult | None:
    """The parts of a web address; None when it is none."""
    try:
        parts = urlsplit(url)
        return parts if parts.scheme in ("http", "https") and parts.port != 0 else None
    except ValueError:  # brackets or a port that are wrong
        return None


def proxy(name: str, value: Any) -> str:
    """A proxy URL may hold credentials, so the messages do not repeat it. "" switches the environment's proxy off."""
    if value == "":
        return ""
    parts = _split(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else None
    if parts is None or not parts.hostname:
        raise refuse(name, "is no proxy URL", 'give one such as "http://proxy.example.com:8080", or "" for none')
    return str(value)


def file(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike) or not _is_file(Path(value)):
        raise refuse(name, f"is {shown(value)}, where no readable file is", "give the path of a PEM file")
    return str(value)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, a folder that may not be entered
        return False


def names(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(k, str) and k and isinstance(v, str) and v for k, v in value.items()
    ):
        raise refuse(name, f"is {shown(value)}", 'give a dict of model names, such as {"fast": "gpt-4o-mini"}')
    return value


def headers(name: str, value: Any) -> dict[str, str]:
    """Values may be secret, so the messages name only the header."""
    if not isinstance(value, dict):
        raise refuse(name, f"is a {type(value).__name__}", "give a dict of header names and values")
    for header, content in value.items():
        if not isinstance(header, str) or not _HEADER_NAME.fullmatch(header):
            raise refuse(name, f"has the name {shown(header)}", "use letters, digits and hyphens")
        if not isinstance(content, str) or _NOT_IN_HEADER.search(content):
            raise refuse(name, f"has no usable text for {header!r}", "give a text without line ends")
    return value


def choice(*allowed: str) -> Check:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise refuse(name, f"is {shown(value)}", f"use {' or '.join(map(repr, allowed))}")
        return str(value)

    return check


def instance(kind: type[Any]) -> Check:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise refuse(name, f"is a {type(value).__name__}", f"give {kind.__name__}(...)")
        return value

    return check


def by_name(kind: type[Any]) -> Check:
    """A dict of names to values of that kind. The messages do not repeat the values, which may hold keys."""

    def check(name: str, value: Any) -> Any:
        for key, inner in _items(name, value, f"give a dict of names to {kind.__name__}"):
            if not isinstance(inner, kind):
                raise refuse(f"{name}[{shown(key)}]", f"is a {type(inner).__name__}", f"give {kind.__name__}(...)")
        return value

    return check


def lists_by_name(kind: type[Any]) -> Check:
    def check(name: str, value: Any) -> Any:
        remedy = f"give a list of {kind.__name__}"
        for key, inner in _items(name, value, "give a dict of names to lists"):
            if not isinstance(inner, list) or not inner or not all(isinstance(one, kind) and one for one in inner):
                raise refuse(f"{name}[{shown(key)}]", f"is no list of {kind.__name__}", remedy)
        return value

    return check


def _items(name: str, value: Any, remedy: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise refuse(name, f"is a {type(value).__name__}", remedy)
    for key in value:
        if not isinstance(key, str) or not _TOKEN.fullmatch(key):
            raise refuse(name, f"has the name {shown(key)}", "use texts without spaces as names")
    return list(value.items())


def store(kind: str, *words: str) -> Check:
    """Where something is kept: one of `words`, or a URL, which may hold a password and so is not repeated."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not (value in words or _STORE.fullmatch(value)):
            known = " or ".join([*map(repr, words), 'a URL such as "sqlite:///llm.db"'])
            raise refuse(name, f"is no {kind}", f"use {known}")
        return value

    return check


_STORE = re.compile(rf"[a-z][a-z0-9+.-]*://{_PART}(?: +{_PART})*")  # with spaces inside, as files have them


def near(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing when nothing is near."""
    close = difflib.get_close_matches(word[:_SHOWN], list(known), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def dotenv(path: Path) -> dict[str, str]:
    """The variables of a `.env` file: `NAME=value` lines, optional `export`, quotes and comments; no expansion."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"dotenv: {str(path)!r} cannot be read ({error}); give the path of a .env file in UTF-8."
        ) from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _ENV_LINE.fullmatch(line)
        if match is None:
            raise ValueError(
                f"dotenv: line {number} of {str(path)!r} is not NAME=value; correct it, or begin it with #."
            )
        found[match[1]] = _unquote(match[2])
    return found


def _unquote(text: str) -> str:
    quoted = _QUOTED.fullmatch(text.strip())
    if quoted is not None:
        return str(quoted[1] if quoted[1] is not None else quoted[2])
    return re.split(r"\s+#", text, maxsplit=1)[0].strip()
