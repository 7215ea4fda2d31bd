"""How a command ends: exit statuses and the errors that carry them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..response import Response

FAILED, BAD_INPUT, NO_ACCESS, INTERRUPTED = 1, 2, 3, 130
READER_LEFT, TERMINATED = 141, 143
"""What a shell reports for a program that SIGPIPE or SIGTERM ended."""

EXPLAINED = """\b
Exit status:
  0    answered
  1    an answer failed, or does not match what was asked for
  2    wrong usage or input; nothing was sent
  3    a key is missing or was refused
  130  interrupted"""

_NO_ACCESS = frozenset(("auth_error", "permission_error"))
_BAD_INPUT = frozenset(("validation_error", "unsupported_feature"))


class Problem(click.ClickException):
    """An error for the user: one line, and the status that the program ends with."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(" ".join(message.split()))
        self.status = status

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # an attribute of the class in click
        return self.status


def exit_status(responses: Iterable[Response]) -> int:
    """0 when all went well; what all failures have in common, else 1."""
    found = {_status(response) for response in responses if not response.ok}
    if not found:
        return 0
    return found.pop() if len(found) == 1 else FAILED


def _status(response: Response) -> int:
    if response.error_type in _NO_ACCESS:
        return NO_ACCESS
    unsent = response.metadata["rejected_by"] == "client"
    return BAD_INPUT if unsent and response.error_type in _BAD_INPUT else FAILED
