"""The ledger in a file: what a row holds, and what happens to the file, whatever its state and whoever else has it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper.metering.ledger import sqlite
from multi_llm_wrapper.metering.ledger.rows import COLUMNS, row
from multi_llm_wrapper.metering.ledger.sink import RefusedError
from multi_llm_wrapper.metering.ledger.sqlite import APPLICATION_ID, MIGRATIONS, SCHEMA, SQLiteSink
from multi_llm_wrapper.metering.record import Record, Share
from multi_llm_wrapper.types import Usage
from tests.metering.ledger_support import NOW, USAGE, ids, record, select, write


@contextmanager
def opened(path: Path) -> Iterator[SQLiteSink]:
    sink = SQLiteSink(str(path))
    try:
        yield sink
    finally:
        sink.close()


def edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def only_row(path: Path) -> dict[str, Any]:
    (values,) = select(path, f"SELECT {', '.join(COLUMNS)} FROM calls")
    return dict(zip(COLUMNS, values, strict=True))


# --- rows -------------------------------------------------------------------------------------------------------


def test_a_row_holds_all_that_a_record_says(tmp_path: Path) -> None:
    """One value a column; costs are exact decimals, tags and shares are JSON."""
    file = tmp_path / "u.db"
    shares = [
        Share("groq", "llama", 0.5, None, None, "overloaded", attempts=3, hedges=1, retries=1),
        Share("openai", "gpt-4o-mini", 0.75, USAGE, Decimal("1E-7"), first_token=0.6),
    ]
    one = record(
        status="error", streamed=True, cached=True, time_to_first_token=0.6, cost=Decimal("1E-7"), shares=shares,
        error_type="rate_limit", code="slow_down", status_code=429, response_id="id-7", attempts=4,
        tags={"team": "Größe", "n": "1"},
    )  # fmt: skip
    write(file, [one])

    found = only_row(file)
    tags, told = json.loads(found.pop("tags")), json.loads(found.pop("shares"))
    assert {
        "time": NOW, "status": "error", "asked": "fast", "provider": "openai", "model": "gpt-4o-mini", "streamed": 1,
        "cached": 1, "response_time": 1.25, "time_to_first_token": 0.6, "input_tokens": 1000, "output_tokens": 200,
        "total_tokens": 1200, "cache_read_tokens": 800, "cache_write_tokens": 0, "reasoning_tokens": 50,
        "cost_usd": "0.0000001", "error_type": "rate_limit", "code": "slow_down", "status_code": 429,
        "finish_reason": "stop", "request_id": "req-0", "response_id": "id-7", "attempts": 4, "retries": 1, "hedges": 1,
    } == found  # fmt: skip
    assert {"team": "Größe", "n": "1"} == tags
    assert [
        {"provider": "groq", "model": "llama", "seconds": 0.5, "error_type": "overloaded", "attempts": 3, "retries": 1,
         "hedges": 1},
        {
            "provider": "openai", "model": "gpt-4o-mini", "seconds": 0.75, "input_tokens": 1000, "output_tokens": 200,
            "total_tokens": 1200, "cache_read_tokens": 800, "cache_write_tokens": 0, "reasoning_tokens": 50,
            "cost_usd": "0.0000001", "attempts": 1, "retries": 0, "hedges": 0, "first_token": 0.6,
        },
    ] == told  # fmt: skip


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    """Neither 0 nor an empty text; one share says no more than the row, and is not repeated."""
    file = tmp_path / "u.db"
    write(file, [Record(NOW, "error", None, "openai", "gpt-4o", 0.0, [Share("openai", "gpt-4o", 0.1)])])

    known = {name: value for name, value in only_row(file).items() if value is not None}
    assert {
        "time": NOW, "status": "error", "streamed": 0, "cached": 0, "response_time": 0.0, "attempts": 0, "retries": 0,
        "hedges": 0, "provider": "openai", "model": "gpt-4o",
    } == known  # fmt: skip


@pytest.mark.parametrize(
    ("status", "share"),
    [
        ("error", Share("anthropic", "claude", 0.1, error_type="rate_limit")),  # the row names the first route
        ("error", Share("openai", "gpt-4o-mini", 0.1, error_type="rate_limit")),
        ("error", Share("openai", "gpt-4o", 0.1, error_type="server_error")),
        ("abandoned", Share("openai", "gpt-4o", 0.1, error_type="rate_limit")),  # in the wait after a failure
    ],
)
def test_the_only_share_is_kept_where_the_row_says_something_else(status: str, share: Share, tmp_path: Path) -> None:
    """Which provider, model or error it really was would be lost without it."""
    file = tmp_path / "u.db"
    failed = "rate_limit" if status == "error" else None
    write(file, [Record(NOW, status, None, "openai", "gpt-4o", 0.0, [share], error_type=failed)])
    [told] = json.loads(only_row(file)["shares"])
    assert (share.provider, share.model, share.error_type) == (told["provider"], told["model"], told["error_type"])


def test_of_a_long_name_the_beginning_is_kept(tmp_path: Path) -> None:
    """A prompt, perhaps, given in place of a model."""
    file = tmp_path / "u.db"
    write(file, [Record(NOW, "error", "x" * 10_000, None, "y" * 10_000, 0.0, [])])
    assert ("x" * 256, "y" * 256) == (only_row(file)["asked"], only_row(file)["model"])


def test_a_record_that_makes_no_row_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    """A number of more than 64 bits, a value of a wrong kind, none where one is needed."""
    file = tmp_path / "u.db"
    unfit: list[dict[str, Any]] = [
        {"usage": Usage(2**63)}, {"status_code": {}}, {"timestamp": None}, {"usage": 5},
        {"tags": {"a": object()}},
    ]  # fmt: skip
    records = [record(1), *(record(0, **changes) for changes in unfit), record(2)]

    with opened(file) as sink:
        assert len(unfit) == sink.write(records)
    assert ["req-1", "req-2"] == ids(file)


def test_half_a_character_costs_no_row(tmp_path: Path) -> None:
    """A name or a tag that is no proper text is written as far as it is; what else the row says is as it was."""
    file, half = tmp_path / "u.db", "a\ud800b"
    share = Share("openai", half, 0.5, Usage(7), Decimal("0.01"))
    broken = Record(NOW, "success", half, "openai", half, 0.5, [share, share], {half: half}, usage=Usage(7), code=half)

    with opened(file) as sink:
        assert 0 == sink.write([broken])
    found = only_row(file)
    assert ("a?b", "a?b", "a?b", 7, 0.5) == tuple(
        found[name] for name in ("asked", "model", "code", "input_tokens", "response_time")
    )
    assert ({"a?b": "a?b"}, ["a?b", "a?b"], "0.01") == (
        json.loads(found["tags"]),
        [one["model"] for one in json.loads(found["shares"])],
        json.loads(found["shares"])[0]["cost_usd"],
    )


def test_columns_and_rows_fit() -> None:
    """The names are in the order of the values."""
    assert len(COLUMNS) == len(row(record()))


def test_a_clock_that_goes_back_changes_nothing(tmp_path: Path) -> None:
    """Rows keep the order in which they came."""
    file = tmp_path / "u.db"
    write(file, [record(5), record(-1000), record(5)])
    assert ["req-5", "req--1000", "req-5"] == ids(file)


# --- the file ---------------------------------------------------------------------------------------------------


def test_the_file_is_a_ledger_for_its_owner(tmp_path: Path) -> None:
    """In WAL mode, so that readers and writers do not wait for each other."""
    file = tmp_path / "u.db"
    with opened(file) as sink:
        sink.write([record()])
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert [1] == [one for (one,) in sink._connection.execute("PRAGMA synchronous")]
    assert {0o600} == modes
    assert (["wal"], [APPLICATION_ID], [SCHEMA]) == tuple(
        select(file, f"PRAGMA {name}") for name in ("journal_mode", "application_id", "user_version")
    )


def make(path: Path, schema: int) -> None:
    """A file as an older version of the package made it."""
    statements = [statement for migration in MIGRATIONS[:schema] for statement in migration]
    edit(path, *statements, f"PRAGMA user_version = {schema}")


def test_an_older_schema_is_migrated_in_place(tmp_path: Path) -> None:
    """Its rows stay, and new ones come after them; a file made today is the same."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    make(old, 1)
    edit(
        old,
        "INSERT INTO calls VALUES (7, 1.5, 'success'"
        + ", NULL" * 3
        + ", 0, 0, 2.5"
        + ", NULL" * 14
        + ", 1, 0, 0, NULL)",
    )
    assert "shares" not in select(old, "SELECT name FROM pragma_table_info('calls')")
    shares = [Share("a", "b", 1.0), Share("c", "d", 1.0)]
    for file in (old, new):
        write(file, [record(shares=shares)])

    assert [(7, 1.5, None)] == select(old, "SELECT id, time, shares FROM calls")[:1]
    assert [2] == select(old, "SELECT json_array_length(shares) FROM calls WHERE id = 8")
    schema = "SELECT type, name FROM sqlite_schema ORDER BY name"
    assert [("table", "calls"), ("index", "calls_by_time")] == select(old, schema) == select(new, schema)
    assert [SCHEMA] == select(old, "PRAGMA user_version")
    assert select(new, "SELECT name FROM pragma_table_info('calls')") == select(
        old, "SELECT name FROM pragma_table_info('calls')"
    )


def test_who_has_the_file_open_with_an_older_schema_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process migrates it meanwhile."""
    file = tmp_path / "u.db"
    write(file, [])
    with opened(file) as sink:
        monkeypatch.setattr(sqlite, "MIGRATIONS", (*MIGRATIONS, ("ALTER TABLE calls ADD COLUMN later TEXT",)))
        monkeypatch.setattr(sqlite, "SCHEMA", SCHEMA + 1)
        write(file, [record(0)])
        assert 0 == sink.write([record(1)])
    assert ["req-0", "req-1"] == ids(file)


def test_a_newer_schema_is_left_to_the_newer_version(tmp_path: Path) -> None:
    """The error says what to do."""
    file = tmp_path / "u.db"
    write(file, [record()])
    edit(file, f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(RefusedError, match=r"newer version .* upgrade"):
        SQLiteSink(str(file))
    assert ["req-0"] == ids(file)


@pytest.mark.parametrize("statement", ["CREATE TABLE bills (a)", "PRAGMA user_version = 1"])
def test_the_database_of_another_program_is_not_touched(tmp_path: Path, statement: str) -> None:
    """Whether it has tables or only a version number: it is refused, and not one byte changes."""
    file = tmp_path / "u.db"
    edit(file, statement)
    before = file.read_bytes()
    with pytest.raises(RefusedError, match="another program"):
        SQLiteSink(str(file))
    assert before == file.read_bytes()


def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path) -> None:
    """The error says so, and the file stays as it was."""
    file = tmp_path / "u.db"
    file.write_text("Dear diary, " * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        SQLiteSink(str(file))
    assert "Dear diary, " * 100 == file.read_text()


def test_a_folder_that_is_not_there_can_come(tmp_path: Path) -> None:
    """An error until then; it is not made."""
    file = tmp_path / "later" / "u.db"
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        SQLiteSink(str(file))
    file.parent.mkdir()
    write(file, [record()])
    assert ["req-0"] == ids(file)


def test_a_locked_file_fails_the_write_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be tried again."""
    monkeypatch.setattr(sqlite, "BUSY", 0.01)
    file = tmp_path / "u.db"
    with opened(file) as sink, closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sink.write([record(0), record(1)])
        other.execute("ROLLBACK")
        sink.write([record(0), record(1)])
    assert ["req-0", "req-1"] == ids(file)


def test_a_file_that_was_moved_is_begun_anew(tmp_path: Path) -> None:
    """So a ledger can be put away, as a log file is, while calls are made."""
    file, old = tmp_path / "u.db", tmp_path / "old.db"
    with opened(file) as sink:
        sink.write([record(0)])
        sink._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.rename(old)
        for suffix in ("-wal", "-shm"):
            os.remove(f"{file}{suffix}")
        sink.write([record(1)])
    assert (["req-0"], ["req-1"]) == (ids(old), ids(file))


# --- several processes ------------------------------------------------------------------------------------------


def test_two_that_make_the_file_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One finds nothing, and the other has made it and written to it before the first one gets to it."""
    file = tmp_path / "u.db"
    real, seen = sqlite.version, []

    def looks_early(connection: sqlite3.Connection) -> int:
        found = real(connection)
        seen.append(found)
        if len(seen) == 1:
            write(file, [record(0)])
        return found

    monkeypatch.setattr(sqlite, "version", looks_early)
    write(file, [record(1)])
    assert (0, ["req-0", "req-1"]) == (seen[0], ids(file))


WRITER = """
import asyncio, sys, time
from multi_llm_wrapper.metering.ledger.base import open_ledger
from tests.metering.ledger_support import record
file, first, count, step = sys.argv[1], *map(int, sys.argv[2:])
ledger = open_ledger("sqlite:///" + file)
sys.stdin.readline()
for number in range(first, first + count):
    ledger.add(record(number))
    if number % step == 0:
        while ledger.waiting: time.sleep(0.001)
        print(number, flush=True)
asyncio.run(ledger.aclose())
assert ledger.lost == 0
"""


def writer(file: Path, first: int, count: int, step: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(file), str(first), str(count), str(step)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_several_processes_write_to_one_file(tmp_path: Path) -> None:
    """All begin at the same moment, with a file that is not there; every row of each is there in the end, once."""
    file = tmp_path / "u.db"
    processes = [writer(file, first, 2000, 500) for first in (0, 2000, 4000)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=50)[1] for process in processes]

    assert ([0] * 3, [""] * 3) == ([process.returncode for process in processes], errors)
    found = ids(file)
    assert (6000, {f"req-{number}" for number in range(6000)}) == (len(found), set(found))
    assert ["ok"] == select(file, "PRAGMA integrity_check")


def test_a_killed_process_loses_what_it_had_not_written_yet(tmp_path: Path) -> None:
    """What was committed is there, the file is whole, and the next process goes on with it."""
    file = tmp_path / "u.db"
    for first in (0, 10_000):
        process = writer(file, first, 10_000, 100)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        written = [int(process.stdout.readline()) for _ in range(3)][-1]
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()

        found = [int(name[4:]) for name in ids(file)]
        mine = [number for number in found if number >= first]
        assert list(range(first, first + len(mine))) == mine
        assert written - first < len(mine) < 10_000
        assert ["ok"] == select(file, "PRAGMA integrity_check")


FULL_DISK = """
import asyncio, logging, resource, signal, sys, time
from multi_llm_wrapper.metering.ledger.sqlite import SQLiteSink
from multi_llm_wrapper.metering.ledger.sink import Bounds
from multi_llm_wrapper.metering.ledger.writer import Writer
from tests.metering.ledger_support import record
logging.basicConfig()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Writer("test", lambda: SQLiteSink(sys.argv[1]), Bounds(gather=0.0, retry=0.001, slowest=0.01, batch=100))
ledger.add(record(0))
while ledger.waiting: time.sleep(0.001)
most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most[1]))
for number in range(1, 5000): ledger.add(record(number))
before = -1
while ledger.waiting != before: before = ledger.waiting; time.sleep(0.2)
assert before > 1000, before
resource.setrlimit(resource.RLIMIT_FSIZE, most)
asyncio.run(ledger.aclose())
"""


def test_a_full_disk_costs_nothing_once_there_is_room_again(tmp_path: Path) -> None:
    """The rows wait meanwhile; each is there once, and the log tells of beginning and end."""
    file = tmp_path / "u.db"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(file)], capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr
    assert [f"req-{number}" for number in range(5000)] == ids(file)
    assert ["ok"] == select(file, "PRAGMA integrity_check")
    assert "cannot be written (OperationalError: " in done.stderr
    assert done.stderr.splitlines()[-1].endswith("is written again")
