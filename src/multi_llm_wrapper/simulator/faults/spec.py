"""Which fault, how often: `cut?k=3&times=2`, as it stands in a header, in the name of a model, on a command line.

Several are separated by `;`: each in turn, until it is used up. In the name of a model `,` may stand for `?` and `&`.
"""

from __future__ import annotations

import difflib
import re

from msgspec import Struct

from .fault import Fault
from .table import FAULTS

MAX_SPEC = 1000
_SPEC = re.compile(r"\s*(?P<name>[a-z0-9_]+)\s*(?:[?,](?P<params>.*))?", re.DOTALL)
_PARAM = re.compile(r"\s*([a-z]+)\s*=\s*([0-9.eE+-]+|inf)\s*")
OURS: dict[str, float] = {"times": float("inf"), "p": 1.0, "seed": 0.0}
"""Parameters of every fault: for how many requests, with what probability, and the seed of that."""


class Spec(Struct, frozen=True):
    fault: Fault
    params: dict[str, float]
    times: float = float("inf")
    p: float = 1.0
    seed: int = 0


def make(name: str, **params: float) -> Spec:
    """The fault of that name with these parameters. Raises `ValueError` for what it does not know."""
    fault = FAULTS.get(name)
    if fault is None:
        near = difflib.get_close_matches(name, FAULTS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no fault {name[:60]!r}{hint} (`multi-llm faults` lists them)")
    given = {key: float(value) for key, value in params.items()}
    unknown = [key for key in given if key not in fault.params and key not in OURS]
    if unknown:
        known = ", ".join([*fault.params, *OURS])
        raise ValueError(f"the fault {name} has no parameter {unknown[0][:60]!r}; it has {known}")
    wrong = [key for key, value in given.items() if not value >= 0 or (key == "seed" and value == float("inf"))]
    if wrong:
        raise ValueError(f"{wrong[0]} of the fault {name} is {given[wrong[0]]}; it must be a number from 0")
    ours = {key: given.pop(key, usual) for key, usual in OURS.items()}
    return Spec(fault, {**fault.params, **given}, ours["times"], ours["p"], int(ours["seed"]))


def parse(text: str) -> list[Spec]:
    """The faults in a text, in order. Raises `ValueError`."""
    if len(text) > MAX_SPEC:
        raise ValueError(f"a fault is written in at most {MAX_SPEC} characters")
    return [_one(part) for part in text.split(";") if part.strip()]


def _one(text: str) -> Spec:
    match = _SPEC.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is no fault; write name?k=3&times=2")
    params: dict[str, float] = {}
    for part in re.split(r"[&,]", match["params"] or ""):
        found = _PARAM.fullmatch(part)
        if found is not None:
            params[found[1]] = _number(found[2])
        elif part.strip():
            raise ValueError(f"{part[:60]!r} is no parameter; write name?k=3&times=2")
    return make(match["name"], **params)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no number") from None
