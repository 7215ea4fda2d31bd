"""Scripted answers at work: which comes next, and how often each was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ..types import ChatRequest
from .scenario import Answer, Rule, When
from .scenario_file import convert


class Scripted:
    """A rule at work: how often it was used."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.used = 0

    def fits(self, asked: ChatRequest, dialect: str) -> bool:
        times = self.rule.times
        return (times == "always" or self.used < times) and self.rule.match.fits(asked, dialect)

    def next(self) -> Answer:
        sequence = self.rule.sequence
        answer = sequence[min(self.used, len(sequence) - 1)] if sequence else self.rule
        self.used += 1
        return answer


class Playbook:
    """The rules in their order, and the default."""

    def __init__(self) -> None:
        self.rules: list[Scripted] = []
        self.default: Answer | None = None

    def __bool__(self) -> bool:
        return bool(self.rules) or self.default is not None

    def add(self, rule: Rule) -> Scripted:
        scripted = Scripted(rule)
        self.rules.append(scripted)
        return scripted

    def take(self, asked: ChatRequest, dialect: str) -> Answer | None:
        """The answer for this request, counted as used; None when nothing is scripted for it."""
        for scripted in self.rules:
            if scripted.fits(asked, dialect):
                return scripted.next()
        return self.default

    def clear(self) -> None:
        self.rules = []
        self.default = None


def rule_of(
    reply: Answer | Rule | str | Mapping[str, Any] | list[Any],
    match: When | Mapping[str, Any] | None = None,
    times: int | None = 1,
) -> Rule:
    """A rule from Python: an answer, its text, its fields, or a list of these as a sequence. Raises `ScenarioError`."""
    steps = [_fields(step) for step in reply] if isinstance(reply, list) else None
    fields: dict[str, Any] = _fields(reply) if steps is None else {"sequence": steps}
    if match is not None:
        fields["match"] = _fields(match)
    fields.setdefault("times", "always" if times is None else times)
    return convert(fields, Rule, "script")


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, Struct):
        built: dict[str, Any] = msgspec.to_builtins(value)
        return built
    return dict(value)
