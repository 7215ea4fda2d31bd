"""The page about errors says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from multi_llm_wrapper.errors import CLASSES

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (yes|no) \|", re.MULTILINE)


def test_the_table_lists_every_class() -> None:
    """Each class is there once, with its exception and whether it is tried again."""
    expected = {(name, kind.__name__, "yes" if kind.retryable else "no") for name, kind in CLASSES.items()}

    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))

    assert expected == set(rows)
    assert len(expected) == len(rows)
