"""Checks of configuration values: each takes the field's name and a value, and gives the value to keep.

A wrong value raises a `ValueError` whose message starts with the field and ends with the remedy.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .secret import Secret

Check = Callable[[str, Any], Any]

_TOKEN = re.compile(r"[^\s\x00-\x1f\x7f]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
MAX_RETRIES = 100


def refuse(name: str, problem: str, remedy: str) -> ValueError:
    return ValueError(f"{name} {problem}; {remedy}.")


def positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise refuse(name, f"is {value!r}", "give a number greater than 0, or None to inherit")
    return float(value)


def retries(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES:
        raise refuse(name, f"is {value!r}", f"give a whole number from 0 to {MAX_RETRIES}")
    return value


def at_least_one(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refuse(name, f"is {value!r}", "give a whole number of at least 1")
    return value


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse(name, f"is {value!r}", "give True or False")
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
        raise refuse(name, f"is {value!r}", "give a text without spaces, line ends or control characters")
    return value


def key(name: str, value: Any) -> Secret:
    """An API key, wrapped so that it is not printed. The messages never hold the key itself."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise refuse(name, f"is a {type(value).__name__}", "give the key as a text")
    if text and not _TOKEN.fullmatch(text):
        raise refuse(name, "has a space, a line end or a control character in it", "copy the key again without them")
    if not text.isascii():
        raise refuse(name, "has a character outside ASCII", "copy the key again")
    return Secret(text)


def url(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise refuse(name, f"is {value!r}", 'give a URL such as "https://api.example.com/v1"')
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https"):
        raise refuse(name, f"is {value!r}, which has no scheme", f'start it with "https://", as in "https://{value}"')
    if not parts.hostname:
        raise refuse(name, f"is {value!r}, which has no host", 'give a URL such as "https://api.example.com/v1"')
    if parts.username or parts.password:
        raise refuse(name, "has a user name or password in it", "give the key as api_key or in headers")
    if parts.query or parts.fragment:
        raise refuse(name, f"is {value!r}", "leave out what follows the path (? or #)")
    try:
        parts.port  # noqa: B018  # reading it is the check
    except ValueError as error:
        raise refuse(name, f"is {value!r} ({error})", "give a port from 1 to 65535") from None
    return value.rstrip("/")


def proxy(name: str, value: Any) -> str:
    """A proxy URL may hold credentials, so the messages do not repeat it. "" switches the environment's proxy off."""
    if value == "":
        return ""
    if not isinstance(value, str) or urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
        raise refuse(name, "is no proxy URL", 'give one such as "http://proxy.example.com:8080", or "" for none')
    return value


def file(name: str, value: Any) -> str:
    if not isinstance(value, str | Path) or not Path(value).is_file():
        raise refuse(name, f"is {value!r}, where no file is", "give the path of a PEM file")
    return str(value)


def names(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(k, str) and k and isinstance(v, str) and v for k, v in value.items()
    ):
        raise refuse(name, f"is {value!r}", 'give a dict of model names, such as {"fast": "gpt-4o-mini"}')
    return value


def headers(name: str, value: Any) -> dict[str, str]:
    """Values may be secret, so the messages name only the header."""
    if not isinstance(value, dict):
        raise refuse(name, f"is a {type(value).__name__}", "give a dict of header names and values")
    for header, content in value.items():
        if not isinstance(header, str) or not _HEADER_NAME.fullmatch(header):
            raise refuse(name, f"has the name {header!r}", "use letters, digits and hyphens")
        if not isinstance(content, str) or re.search(r"[\r\n\0]", content):
            raise refuse(name, f"has no usable text for {header!r}", "give a text without line ends")
    return value


def mapping(name: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise refuse(name, f"is a {type(value).__name__}", "give a dict")
    return value


def choice(*allowed: str) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in allowed:
            raise refuse(name, f"is {value!r}", f"use {' or '.join(map(repr, allowed))}")
        return str(value)

    return check


def instance(kind: type[Any]) -> Check:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise refuse(name, f"is a {type(value).__name__}", f"give a {kind.__name__}")
        return value

    return check


def instances(kind: type[Any]) -> Check:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(v, kind) for v in value.values()):
            raise refuse(name, f"is {value!r}", f"give a dict of names to {kind.__name__}")
        return value

    return check


def near(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing when nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def dotenv(path: Path) -> dict[str, str]:
    """The variables of a `.env` file: `NAME=value` lines, optional `export`, quotes and comments; no expansion."""
    if not path.is_file():
        raise ValueError(f"dotenv: there is no file {str(path)!r}; give the path of a .env file.")
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _ENV_LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"dotenv: line {number} of {str(path)!r} is not NAME=value.")
        found[match[1]] = _unquote(match[2])
    return found


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return re.split(r"\s+#", text, maxsplit=1)[0].strip()
