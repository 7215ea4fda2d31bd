"""What the tests of the ledger share: records, and rows read by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from multi_llm_wrapper.metering.ledger.sqlite import SQLiteSink
from multi_llm_wrapper.metering.record import Record, Share
from multi_llm_wrapper.types import Usage

NOW = 1_800_000_000.0
USAGE = Usage(1000, 200, 1200, 800, 0, 50)


def record(number: int = 0, **changes: Any) -> Record:
    """A call of gpt-4o-mini that went well; `number` is in its request id. Its one share says what it says itself."""
    facts: dict[str, Any] = {
        "timestamp": NOW + number,
        "status": "success",
        "asked": "fast",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "response_time": 1.25,
        "usage": USAGE,
        "cost": Decimal("0.00027"),
        "finish_reason": "stop",
        "request_id": f"req-{number}",
        "attempts": 1,
    }
    known = facts | changes
    if "shares" not in known:
        failed = known.get("error_type") if known["status"] == "error" else None
        who = known["provider"], known["model"], known["response_time"]
        known["shares"] = [Share(*who, known["usage"], known["cost"], failed)]
    return Record(**known)


def write(path: Path, records: Sequence[Record]) -> None:
    sink = SQLiteSink(str(path))
    try:
        assert 0 == sink.write(records)
    finally:
        sink.close()


def select(path: Path, statement: str) -> list[Any]:
    """Rows of several columns as tuples, of one column as values."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute(statement).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def ids(path: Path) -> list[str]:
    return select(path, "SELECT request_id FROM calls ORDER BY id")
