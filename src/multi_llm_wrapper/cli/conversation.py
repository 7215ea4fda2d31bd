"""A conversation and its history, as `chat` keeps it; knows nothing about a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

INTERRUPTED = "[interrupted]"
"""Ends an answer that the user cut off, so that the model, too, knows that it is not whole."""


@dataclass
class Turn:
    """A question and, once there is one, the answer as a message."""

    question: str
    answer: dict[str, Any] | None = None


@dataclass
class Conversation:
    """Turn by turn; only the last may be without an answer."""

    system: str | None = None
    turns: list[Turn] = field(default_factory=list)

    def ask(self, question: str) -> Turn:
        """A new turn; one that got no answer is forgotten."""
        turn = Turn(question)
        self.turns = [*(old for old in self.turns if old.answer is not None), turn]
        return turn

    def last(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    def interrupted(self, turn: Turn, partial: str | None) -> bool:
        """Keeps what came of an answer; False when nothing did."""
        if not partial or not partial.strip():
            return False
        turn.answer = {"role": "assistant", "content": f"{partial.rstrip()} {INTERRUPTED}"}
        return True

    def messages(self) -> list[dict[str, Any]]:
        """Everything said so far, in the shape that the library takes, the open question last."""
        found: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            found.append({"role": "user", "content": turn.question})
            if turn.answer is not None:
                found.append(turn.answer)
        return found
