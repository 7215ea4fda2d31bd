"""The simulator's own endpoints below `/_sim/`: journal, timing, scenario, reset, and a page to watch it by.

No key is wanted: who reaches the port may do all of it. A request of a web page of another origin is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import structs

from . import scenario_file
from .journal import JournalEntry
from .plan import Plan, SimRequest, whole

if TYPE_CHECKING:
    from .brain import Brain

PREFIX = "/_sim/"
MOST = 1000
"""Entries in one answer."""

_JSON = {"content-type": "application/json", "cache-control": "no-store"}
_HTML = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


def handle(brain: Brain, request: SimRequest) -> Plan:
    """The reply to a request below `/_sim/`."""
    name = request.path.removeprefix(PREFIX)
    if name not in ENDPOINTS:
        return _json(404, {"error": f"no /_sim/{name}; there are {', '.join(PREFIX + known for known in ENDPOINTS)}"})
    method, answer = ENDPOINTS[name]
    if request.method != method and not (method == "GET" and request.method == "HEAD"):
        return _json(405, {"error": f"{request.path} takes {method}, not {request.method}"})
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        return _json(403, {"error": f"not for pages of {origin}"})
    return answer(brain, request)


def _page(brain: Brain, request: SimRequest) -> Plan:
    return whole(200, dict(_HTML), page())


@lru_cache(maxsize=1)
def page() -> bytes:
    return files(__package__).joinpath("page.html").read_bytes()


def _journal(brain: Brain, request: SimRequest) -> Plan:
    """`since`, `until`: only entries with a higher number, up to this one; `limit`: so many at most, the newest.
    `brief=1` leaves bodies and headers out."""
    asked = dict(parse_qsl(request.query))
    since, limit = _number(asked.get("since"), 0), min(_number(asked.get("limit"), MOST), MOST)
    until = _number(asked.get("until"), sys.maxsize)
    entries = [entry for entry in brain.journal if since < entry.number <= until]
    shown = [describe(entry, brief=asked.get("brief") == "1") for entry in (entries[-limit:] if limit else [])]
    return _json(200, {"now": brain.now(), "total": brain.journal.total, "entries": shown})


def describe(entry: JournalEntry, brief: bool = False) -> dict[str, Any]:
    """An entry as JSON: the body as JSON where it is some, else as text; `sends` as pairs of seconds since the request,
    intended and actual."""
    fields = {name: value for name, value in structs.asdict(entry).items() if name not in ("body", "sends")}
    fields["sends"] = [[round(x, 6) for x in pair] for pair in entry.sent_at]
    if brief:
        del fields["headers"]
    else:
        body = entry.json
        fields["body"] = body if body is not None else entry.body.decode("utf-8", "replace")
    return fields


def _timing(brain: Brain, request: SimRequest) -> Plan:
    return _json(200, structs.asdict(brain.timing_report()))


def _reset(brain: Brain, request: SimRequest) -> Plan:
    brain.reset()
    return _json(200, {"reset": True})


def _scenario(brain: Brain, request: SimRequest) -> Plan:
    """JSON when its type says so or when it begins like it, else TOML."""
    kind = request.headers.get("content-type", "")
    json = "json" in kind or ("toml" not in kind and request.body.lstrip()[:1] == b"{")
    try:
        scenario = scenario_file.parse(request.body, json=json)
        brain.use(scenario)
    except scenario_file.ScenarioError as error:
        return _json(400, {"error": str(error)})
    return _json(200, {"replies": len(scenario.replies)})


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else default


def _json(status: int, value: Any) -> Plan:
    return whole(status, dict(_JSON), msgspec.json.encode(value))


ENDPOINTS: dict[str, tuple[str, Callable[[Brain, SimRequest], Plan]]] = {
    "": ("GET", _page),
    "journal": ("GET", _journal),
    "timing": ("GET", _timing),
    "reset": ("POST", _reset),
    "scenario": ("POST", _scenario),
}
