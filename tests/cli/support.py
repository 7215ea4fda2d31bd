"""What the tests of the command line share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeAlias

from click.testing import Result

from tests.cli.pseudo import Terminal

Invoke: TypeAlias = Callable[..., Result]
Open: TypeAlias = Callable[..., Terminal]

COMMAND = (sys.executable, "-m", "multi_llm_wrapper")
"""The program, for tests that need a process of its own."""
