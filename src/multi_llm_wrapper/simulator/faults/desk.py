"""Decides which request gets which fault, and counts.

A fault is asked for by the request itself, in the header `x-sim-fault` or in the model's name (`gpt-4o@cut,k=3`,
`fault:cut/gpt-4o`), or laid ready from outside with `add`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct, structs

from ..dice import Dice
from ..plan import SimRequest
from .spec import Spec, parse
from .table import FAULTS

HEADER = "x-sim-fault"
MAX_COUNTED = 10_000

_IN_BODY = re.compile(rb'"model"\s*:\s*"(?:fault:|[^"]{1,200}@)')
_IN_PATH = re.compile(r"(?P<before>.*/models/)(?P<model>.+?)(?P<behind>:(?:g|streamG)enerateContent)")
_CHANCES = 1_000_000

Match = Callable[[SimRequest], bool]


class Planned:
    """Faults laid ready: for requests that `match` accepts and that ask `model` (None: every one), one spec after
    the other until it is used up."""

    def __init__(self, specs: Iterable[Spec], match: Match | None = None, model: str | None = None) -> None:
        self.specs = list(specs)
        self.match = match
        self.model = model
        self.used = 0
        """How many requests got a fault."""
        self.asked = 0
        self.since: float | None = None
        self._given = [0] * len(self.specs)

    def draw(self, now: float) -> Drawn | None:
        """The fault for the next request that fits, or None where it is to be answered as usual."""
        self.asked += 1
        if self.since is None:
            self.since = now
        for place, spec in enumerate(self.specs):
            if self._given[place] >= spec.times:
                continue
            if spec.p < 1.0 and Dice(spec.seed, spec.fault.name, self.asked).below(_CHANCES) >= spec.p * _CHANCES:
                return None
            self._given[place] += 1
            self.used += 1
            return Drawn(spec, now - self.since)
        return None


class Drawn(Struct, frozen=True):
    """A fault that a request gets; `elapsed` is in seconds since the first of its kind."""

    spec: Spec
    elapsed: float


class Desk:
    """The faults of one simulator."""

    def __init__(self) -> None:
        self._planned: list[Planned] = []
        self._asked: dict[str, Planned] = {}

    def add(self, planned: Planned) -> Planned:
        self._planned.append(planned)
        return planned

    def clear(self) -> None:
        self._planned = []
        self._asked = {}

    def draw(self, request: SimRequest, now: float) -> tuple[SimRequest, Drawn | None]:
        """The request without its asking for a fault, and the fault. Raises `ValueError` for a header that cannot be
        understood; a name of a model that only looks like one is left alone."""
        text = request.headers.get(HEADER)
        if text is None and not self._planned and not _IN_BODY.search(request.body) and "models/" not in request.path:
            return request, None
        request, in_model = _without_fault(request)
        if self._planned:
            for planned in self._planned:
                if planned.match is not None and not planned.match(request):
                    continue
                if planned.model is not None and planned.model != _model(request):
                    continue
                drawn = planned.draw(now)
                if drawn is not None:
                    return request, drawn
        text = text or in_model
        return request, self._counted(text).draw(now) if text else None

    def _counted(self, text: str) -> Planned:
        planned = self._asked.get(text)
        if planned is None:
            if len(self._asked) >= MAX_COUNTED:
                self._asked.clear()
            planned = self._asked[text] = Planned(parse(text))
        return planned


def _model(request: SimRequest) -> str | None:
    match = _IN_PATH.fullmatch(unquote(request.path))
    if match is not None:
        return match["model"]
    try:
        value = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else None


def _without_fault(request: SimRequest) -> tuple[SimRequest, str | None]:
    """The request as the model's own name would have it."""
    if "models/" in request.path:
        match = _IN_PATH.fullmatch(unquote(request.path))
        model, text = split(match["model"]) if match is not None else ("", None)
        if match is None or text is None:
            return request, None
        return structs.replace(request, path=quote(f"{match['before']}{model}{match['behind']}", safe="/:")), text
    if not _IN_BODY.search(request.body):
        return request, None
    asked = _model(request)
    model, text = split(asked or "")
    if text is None:
        return request, None
    value = msgspec.json.decode(request.body)
    return structs.replace(request, body=msgspec.json.encode(value | {"model": model})), text


def split(model: str) -> tuple[str, str | None]:
    """`gpt-4o@cut,k=3` and `fault:cut,k=3/gpt-4o` as the model and the fault; None for any other name."""
    if model.startswith("fault:"):
        text, slash, name = model.removeprefix("fault:").partition("/")
        return (name, text) if slash and name else (model, None)
    name, at, text = model.rpartition("@")
    known = re.split(r"[?,;]", text, maxsplit=1)[0].strip() in FAULTS
    return (name, text) if at and name and known else (model, None)
