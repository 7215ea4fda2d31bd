"""The cache in a file: bounded, shared by processes, and never the reason that a call fails, whatever the file is."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import LLMWrapper, OpenAIConfig, Response, WrapperConfig
from multi_llm_wrapper.caching import sqlite, thread
from multi_llm_wrapper.caching.sqlite import APPLICATION_ID, SCHEMA, NotOursError, SQLiteStore
from multi_llm_wrapper.clock import SystemClock
from multi_llm_wrapper.testing import CompletionDouble
from tests.servers import completion

NOW = 1_800_000_000.0
MB = 1024 * 1024


def in_store(path: Path, work: Callable[[SQLiteStore], Awaitable[Any]], **settings: Any) -> Any:
    """Opens a store, works with it, closes it."""

    async def main() -> Any:
        store = SQLiteStore(str(path), **settings)
        try:
            return await work(store)
        finally:
            await store.aclose()

    return asyncio.run(main())


def put(path: Path, *keys: str, value: bytes = b"value", now: float = NOW, ttl: float = 60.0, **settings: Any) -> None:
    async def work(store: SQLiteStore) -> None:
        for key in keys:
            assert await store.put(key, value, now, now + ttl)

    in_store(path, work, **settings)


def get(path: Path, *keys: str, now: float = NOW, **settings: Any) -> list[bytes | None]:
    async def work(store: SQLiteStore) -> list[bytes | None]:
        return [await store.get(key, now) for key in keys]

    found: list[bytes | None] = in_store(path, work, **settings)
    return found


def edit(path: Path, *statements: str) -> list[Any]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return [connection.execute(statement).fetchall() for statement in statements][-1]
    finally:
        connection.close()


def damage(file: Path) -> bytes:
    """All but the first page; in place, as a bad disk would."""
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (file.stat().st_size - 4096))
    return file.read_bytes()


# --- entries ----------------------------------------------------------------------------------------------------


def test_what_was_put_is_there_until_it_expires(tmp_path: Path) -> None:
    """In another store at the same file too; a second value takes the place of the first, with its own time."""
    file = tmp_path / "c.db"
    put(file, "a", "b")
    put(file, "b", value=b"new", ttl=100.0)

    assert [b"value", b"new", None] == get(file, "a", "b", "c", now=NOW + 59.9)
    assert [None, b"new"] == get(file, "a", "b", now=NOW + 60.0)


def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    """Answers can be private; the log beside it is made with the same rights."""
    file = tmp_path / "c.db"

    async def work(store: SQLiteStore) -> list[int]:
        await store.put("a", b"value", NOW, NOW + 60)
        return [stat.S_IMODE(os.stat(name).st_mode) for name in (file, f"{file}-wal")]

    assert [0o600, 0o600] == in_store(file, work)


def test_the_size_is_bounded(tmp_path: Path) -> None:
    """By what is in use: the least recently used make room, what was used stays, and the file does not grow on."""
    file = tmp_path / "c.db"

    async def work(store: SQLiteStore) -> None:
        now = NOW
        for number in range(1500):
            now += 1
            await store.put(f"key-{number:04}", os.urandom(2000), now, now + 1e6)
            if number % 50 == 0:
                now += sqlite.TOUCH
                assert await store.get("key-0000", now) is not None
            assert store.size is not None
            assert store.size <= MB
        assert store.evicted > 900
        assert [True, False, True] == [await store.get(f"key-{number:04}", now) is not None for number in (0, 1, 1499)]

    in_store(file, work, max_bytes=MB)
    assert file.stat().st_size < 1.1 * MB
    assert [[(APPLICATION_ID,)], [(SCHEMA,)]] == [
        edit(file, "PRAGMA application_id"), edit(file, "PRAGMA user_version")
    ]  # fmt: skip


def test_a_value_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    """One answer does not drive half the others out."""

    async def work(store: SQLiteStore) -> None:
        assert await store.put("a", bytes(MB // 2), NOW, NOW + 60)
        assert not await store.put("b", bytes(MB // 2 + 1), NOW, NOW + 60)
        assert (None, 0) == (await store.get("b", NOW), store.evicted)
        assert await store.get("a", NOW) is not None

    in_store(tmp_path / "c.db", work, max_bytes=MB)


def test_a_store_can_be_closed_and_used_again(tmp_path: Path) -> None:
    """Closing twice is no error, and the next lookup opens the file with all that was in it."""

    async def work(store: SQLiteStore) -> None:
        await store.put("a", b"value", NOW, NOW + 60)
        for _ in range(2):
            await store.aclose()
            await store.aclose()
            assert b"value" == await store.get("a", NOW)

    in_store(tmp_path / "c.db", work)


def test_one_store_serves_several_loops_and_is_closed_with_nobody_left(tmp_path: Path) -> None:
    """A script that closes nothing leaves no connection (a warning would be an error) and no log behind."""
    file = tmp_path / "c.db"
    store: SQLiteStore | None = SQLiteStore(str(file))

    async def work() -> bytes | None:
        assert store is not None
        await store.put("a", b"value", NOW, NOW + 60)
        return await store.get("a", NOW)

    assert [b"value"] * 3 == [asyncio.run(work()) for _ in range(3)]
    store = None
    gc.collect()
    until = time.monotonic() + 5
    while file.with_name("c.db-wal").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not file.with_name("c.db-wal").exists()


def test_lookups_go_before_writes(tmp_path: Path) -> None:
    """Whoever looks something up does not wait for what others have still to write down."""

    async def work(store: SQLiteStore) -> None:
        done: list[str] = []
        blocked = threading.Event()
        first = store._run(lambda: blocked.wait(5), first=False)
        writes = [store.put(f"{number}", b"value", NOW, NOW + 60) for number in range(20)]
        for future, name in [(write, "write") for write in writes] + [(store.get("0", NOW), "lookup")]:
            future.add_done_callback(lambda _, name=name: done.append(name))  # type: ignore[misc]  # a default argument
        blocked.set()
        assert [True] * 21 == await asyncio.gather(first, *writes)
        assert ["lookup"] + ["write"] * 20 == done

    in_store(tmp_path / "c.db", work)


def test_what_waits_for_a_disk_that_hangs_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is refused at once, of lookups and of writes; what was given up is not done when the disk is back."""
    monkeypatch.setattr(thread, "WAITING", 3)

    async def work(store: SQLiteStore) -> None:
        blocked = threading.Event()
        first = store._run(lambda: blocked.wait(5), first=True)
        while store._thread is not None and store._thread._lookups:  # noqa: ASYNC110  # a thread tells nobody
            await asyncio.sleep(0)
        waiting = [store.put(f"{number}", b"value", NOW, NOW + 60) for number in range(3)]
        with pytest.raises(TimeoutError, match="3 others"):
            store.put("3", b"value", NOW, NOW + 60)
        lookups = [store.get("0", NOW) for _ in range(3)]
        with pytest.raises(TimeoutError, match="3 others"):
            store.get("0", NOW)
        waiting[0].cancel()
        blocked.set()
        await asyncio.gather(first, *waiting, *lookups, return_exceptions=True)
        assert [None, b"value"] == [await store.get(name, NOW) for name in "02"]

    in_store(tmp_path / "c.db", work)


def test_lookups_do_not_hold_up_the_loop(tmp_path: Path) -> None:
    """Neither does a write that waits for another process."""
    file = tmp_path / "c.db"
    put(file, "a")

    async def work(store: SQLiteStore) -> None:
        await store.get("a", NOW)
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        write = store.put("b", b"value", NOW, NOW + 60)
        turns = 0
        while not write.done():
            await asyncio.sleep(0.001)
            turns += 1
        other.close()
        assert "locked" in str(write.exception())
        assert turns > 5

    in_store(file, work)


# --- what the file can be ---------------------------------------------------------------------------------------


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    """Neither read, nor written, nor moved, whatever its version says."""
    file = tmp_path / "c.db"
    edit(file, "CREATE TABLE entries (key TEXT, value TEXT)", "INSERT INTO entries VALUES ('a', 'precious')")
    before = file.read_bytes()
    for _ in range(2):
        with pytest.raises(NotOursError, match="another program"):
            get(file, "a")
        with pytest.raises(NotOursError):
            put(file, "a")
        edit(file, f"PRAGMA user_version = {SCHEMA}")
    edit(file, "PRAGMA user_version = 0")
    assert [("a", "precious")] == edit(file, "SELECT * FROM entries")
    assert len(before) == file.stat().st_size
    assert ["c.db"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("content", [b"my diary", b"my diary " * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """It is an error, and nothing is written into it or beside it."""
    file = tmp_path / "c.db"
    file.write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError):
        put(file, "a")
    assert content == file.read_bytes()
    assert ["c.db"] == [path.name for path in tmp_path.iterdir()]


def test_an_empty_file_is_a_new_cache(tmp_path: Path) -> None:
    """It holds nothing of anybody's, so it is used like one that is not there yet."""
    file = tmp_path / "c.db"
    file.touch()
    put(file, "a")
    assert [b"value"] == get(file, "a")


def test_an_older_schema_is_made_anew(tmp_path: Path) -> None:
    """It is a cache: its entries are not worth a migration."""
    file = tmp_path / "c.db"
    put(file, "a")
    edit(file, "ALTER TABLE entries DROP COLUMN expires", "PRAGMA user_version = 0")

    assert [None] == get(file, "a")
    put(file, "a")
    assert ([b"value"], [(SCHEMA,)]) == (get(file, "a"), edit(file, "PRAGMA user_version"))


def test_a_newer_schema_is_left_to_the_newer_version(tmp_path: Path) -> None:
    """The error says so, and the entries stay for the version that can read them."""
    file = tmp_path / "c.db"
    put(file, "a")
    edit(file, f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(NotOursError, match="newer"):
        put(file, "a")
    assert [("a",)] == edit(file, "SELECT key FROM entries")


def test_a_damaged_file_of_ours_is_set_aside(tmp_path: Path) -> None:
    """And a new one begun in its place, in the same lookup; the damaged one can still be looked at."""
    file = tmp_path / "c.db"
    put(file, *(f"key-{number}" for number in range(200)), value=bytes(3000))
    damaged = damage(file)

    assert [None] == get(file, "key-7")
    put(file, "key-7")
    assert [b"value"] == get(file, "key-7")
    assert damaged == file.with_name("c.db.damaged").read_bytes()


def test_a_file_that_breaks_while_it_is_open_is_set_aside(tmp_path: Path) -> None:
    """By one of two stores; the other finds the new file."""
    file = tmp_path / "c.db"
    names = [f"key-{number}" for number in range(200)]
    put(file, *names, value=bytes(3000))

    async def work(one: SQLiteStore) -> None:
        two = SQLiteStore(str(file))
        for store in (one, two):
            assert await store.get("key-7", NOW) is not None
        damage(file)
        found = [await store.get(name, NOW) for store in (one, two) for name in names[50:100]]
        assert None in found
        for store in (one, two):
            assert await store.put("new", b"value", NOW, NOW + 60)
            assert b"value" == await store.get("new", NOW)
        await two.aclose()

    in_store(file, work)
    assert [b"value"] == get(file, "new")


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    """By the next write; a cleaner that empties the folder does not end the cache."""
    file = tmp_path / "c.db"

    async def work(store: SQLiteStore) -> None:
        await store.put("a", b"value", NOW, NOW + 60)
        for name in os.listdir(tmp_path):
            os.remove(tmp_path / name)
        await store.put("b", b"value", NOW, NOW + 60)
        assert (None, b"value") == (await store.get("a", NOW), await store.get("b", NOW))

    in_store(file, work)
    assert [b"value"] == get(file, "b")


def test_a_value_of_another_kind_is_no_bytes_of_ours(tmp_path: Path) -> None:
    """Empty bytes, which no seal fits."""
    file = tmp_path / "c.db"
    put(file, "a")
    edit(file, "UPDATE entries SET value = 5")
    assert [b""] == get(file, "a")


def test_a_clock_that_goes_back_breaks_nothing(tmp_path: Path) -> None:
    """Neither order of use nor expiry of what comes then; whether an old entry holds is decided by its own date."""
    file = tmp_path / "c.db"
    put(file, "future", now=NOW)
    put(file, "past", now=NOW - 1e8)
    assert [b"value", b"value", None] == [
        *get(file, "future", "past", now=NOW - 1e8), *get(file, "past", now=NOW - 1e8 + 60)
    ]  # fmt: skip


def test_a_child_after_a_fork_leaves_the_parents_connection_alone(tmp_path: Path) -> None:
    """It does without, rather than to break the file: SQLite's connections do not survive a fork."""

    async def work(store: SQLiteStore) -> None:
        await store.put("a", b"value", NOW, NOW + 60)
        patched = os.getpid() + 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getpid", lambda: patched)
            with pytest.raises(NotOursError, match="fork"):
                await store.get("a", NOW)
            sqlite._close(*store._closer.peek()[2])  # type: ignore[union-attr, index]  # it is alive
        assert b"value" == await store.get("a", NOW)

    in_store(tmp_path / "c.db", work)


# --- several processes ------------------------------------------------------------------------------------------


def test_two_that_make_the_file_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One finds nothing, and the other has made it and written to it before the first one gets to it."""
    file = tmp_path / "c.db"
    real = sqlite._is_current
    seen: list[bool] = []

    def looks_early(connection: sqlite3.Connection) -> bool:
        found = real(connection)
        seen.append(found)
        if len(seen) == 1:
            put(file, "of the other")
        return found

    monkeypatch.setattr(sqlite, "_is_current", looks_early)
    put(file, "of the first")
    assert not seen[0]
    assert [b"value", b"value"] == get(file, "of the first", "of the other")


WRITER = """
import asyncio, sys
from multi_llm_wrapper.caching.sqlite import SQLiteStore
async def main(path, name, count):
    store = SQLiteStore(path)
    failed = 0
    for number in range(count):
        try:
            await store.put(f"{name}-{number}", name.encode() * 500, 1.8e9, 1.9e9)
            assert await store.get(f"{name}-{number}", 1.8e9) == name.encode() * 500
        except Exception as error:
            failed += 1
            print(repr(error), file=sys.stderr)
        if number == 0:
            print("begun", flush=True)
    await store.aclose()
    return failed
sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))) > int(sys.argv[3]) // 50)
"""


def writer(file: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(file), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_share_one_file(tmp_path: Path) -> None:
    """Both begin at the same moment and write all the time; each keeps what it wrote (but for a rare one that waited
    too long), and a third reads it all."""
    file = tmp_path / "c.db"
    processes = [writer(file, name, 300) for name in "ab"]
    errors = [process.communicate(timeout=50)[1] for process in processes]
    assert [0, 0] == [process.returncode for process in processes], errors
    found = get(file, *(f"{name}-{number}" for name in "ab" for number in range(300)))
    assert len([value for value in found if value is not None]) >= 588
    assert {b"a" * 500, b"b" * 500} == set(found) - {None}
    assert [("ok",)] == edit(file, "PRAGMA integrity_check")


def test_a_process_that_is_killed_breaks_nothing(tmp_path: Path) -> None:
    """In the middle of its writes, again and again."""
    file = tmp_path / "c.db"
    for name in "abc":
        process = writer(file, name, 100_000)
        assert process.stdout is not None
        assert "begun" == process.stdout.readline().strip()
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        put(file, name, value=name.encode())
        assert [b"a" * 500] == get(file, "a-0")
    assert [b"a", b"b", b"c"] == get(file, "a", "b", "c")
    assert [("ok",)] == edit(file, "PRAGMA integrity_check")


FULL_DISK = """
import asyncio, resource, signal, sys
from multi_llm_wrapper.caching.sqlite import SQLiteStore
async def main(path):
    store = SQLiteStore(path)
    await store.put("first", b"x" * 1000, 1.8e9, 1.9e9)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    errors = []
    for number in range(200):
        try:
            await store.put(f"{number}", b"y" * 5000, 1.8e9, 1.9e9)
        except Exception as error:
            errors.append(error)
    assert len(errors) > 100, errors
    assert all(type(error).__name__ == "OperationalError" for error in errors), errors
    assert await store.get("first", 1.8e9) == b"x" * 1000
    assert await store.get("0", 1.8e9) == b"y" * 5000
    await store.aclose()
asyncio.run(main(sys.argv[1]))
"""


def test_a_full_disk_fails_the_write_and_nothing_else(tmp_path: Path) -> None:
    """What is there is still read, and the file is whole afterwards."""
    file = tmp_path / "c.db"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(file)], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert [("ok",)] == edit(file, "PRAGMA integrity_check")
    put(file, "second")
    assert [b"x" * 1000, b"value"] == get(file, "first", "second")


READ_ONLY = """
import asyncio, os, sys
sys.path[:0] = sys.argv[2].split(os.pathsep)
import encodings.idna, multi_llm_wrapper.caching.sqlite as sqlite
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
async def main(path):
    store = sqlite.SQLiteStore(path)
    found = await store.get("a", 1.8e9 + 1000)
    try:
        await store.put("b", b"value", 1.8e9, 1.9e9)
        print("written", end="")
    except Exception as error:
        print(type(error).__name__, found, end="")
    await store.aclose()
asyncio.run(main(sys.argv[1]))
"""


def test_a_file_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    """Writing fails, also the note that an entry was used, which is no failure. As a user who may write the folder, as
    SQLite needs it for its log, but not the file."""
    folder = tmp_path / "shared"
    folder.mkdir()
    file = folder / "c.db"
    put(file, "a", ttl=1e6)
    for path in (folder, *tmp_path.parents[:3], tmp_path):
        if os.access(path, os.W_OK) and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o755)
    file.chmod(0o444)
    folder.chmod(0o777)
    command = [sys.executable, "-c", READ_ONLY, str(file), os.pathsep.join(sys.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr or "No module named" in done.stderr:
        pytest.skip(f"another user cannot run this Python: {done.stderr.strip().splitlines()[-1]}")
    assert ("OperationalError b'value'", "") == (done.stdout, done.stderr)


# --- through the wrapper ----------------------------------------------------------------------------------------


def llm_at(file: Path, **settings: Any) -> LLMWrapper:
    config = WrapperConfig(openai=OpenAIConfig(api_key="sk-test-0123456789"), cache=f"sqlite:///{file}?timeout=5")
    return LLMWrapper(config, **settings)


async def ask(llm: LLMWrapper, prompt: str = "Hello", **options: Any) -> Response:
    response: Response = await llm.query(prompt, "gpt-4o", **options)
    assert "success" == response.status, response.error
    return response


async def cached(llm: LLMWrapper, prompt: str = "Hello", **options: Any) -> bool:
    """Whether the answer was there; returns when it has been written down, or could not be."""
    found = bool((await ask(llm, prompt, **options)).metadata["cached"])
    if llm._cache._running:
        await asyncio.wait([one.task for one in llm._cache._running])
    return found


@pytest.mark.asyncio
async def test_answers_outlive_the_wrapper(mock_completion: CompletionDouble, tmp_path: Path) -> None:
    """What one has asked another knows; closing writes what was still to be written."""
    for expected in (False, True, True):
        async with llm_at(tmp_path / "c.db") as llm:
            response = await ask(llm)
            assert (expected, "This is a test response from openai.") == (response.metadata["cached"], response.content)
    assert 1 == mock_completion.call_count


@pytest.mark.asyncio
async def test_the_statistics_say_what_happened(mock_completion: CompletionDouble, tmp_path: Path) -> None:
    """Hits, misses, what was stored and the size of the file, also when it was closed in between."""
    async with llm_at(tmp_path / "c.db") as llm:
        for prompt in ("a", "b", "a", "a"):
            await ask(llm, prompt)
            await llm.aclose()
        stats = llm._cache.stats()
        assert stats.pop("size") > 0  # type: ignore[operator]  # a file has one
        assert {"hits": 2, "misses": 2, "shared": 0, "stores": 2, "errors": 0, "skipped": 0, "evicted": 0} == stats


@pytest.mark.asyncio
@pytest.mark.parametrize("damage", ["UPDATE entries SET value = x'00'", "UPDATE entries SET value = 'text'"])
async def test_a_corrupt_entry_is_asked_for_again(
    mock_completion: CompletionDouble, tmp_path: Path, damage: str
) -> None:
    """Counted, and replaced."""
    file = tmp_path / "c.db"
    async with llm_at(file) as llm:
        await ask(llm)
    edit(file, damage)
    async with llm_at(file) as llm:
        assert not await cached(llm)
        await llm.aclose()
        assert await cached(llm)
        assert (1, 1, 1) == tuple(llm._cache.stats()[name] for name in ("errors", "misses", "hits"))


@pytest.mark.asyncio
async def test_entries_that_changed_places_are_not_given(mock_completion: CompletionDouble, tmp_path: Path) -> None:
    """An answer is bound to its question."""
    file = tmp_path / "c.db"
    async with llm_at(file) as llm:
        for prompt in "ab":
            await ask(llm, prompt)
    (a,), (b,) = edit(file, "SELECT key FROM entries")
    edit(file, f"UPDATE entries SET key = 'x' WHERE key = '{a}'", f"UPDATE entries SET key = '{a}' WHERE key = '{b}'")
    async with llm_at(file) as llm:
        assert [False, False] == [await cached(llm, prompt) for prompt in "ab"]
        assert 1 == llm._cache.stats()["errors"]


class Clock(SystemClock):
    date = NOW

    def time(self) -> float:
        return self.date


@pytest.mark.asyncio
async def test_the_date_decides_how_long_an_answer_holds(mock_completion: CompletionDouble, tmp_path: Path) -> None:
    """Its age is told; a clock set back by hours makes it unbelievable, and what is asked then is kept."""
    clock = Clock()
    async with llm_at(tmp_path / "c.db", clock=clock) as llm:
        await ask(llm)
        await llm.aclose()
        clock.date += 100
        response = await ask(llm)
        assert (True, 100.0) == (response.metadata["cached"], response.metadata["cache_age"])
        clock.date -= 130
        response = await ask(llm)
        assert (True, 0.0) == (response.metadata["cached"], response.metadata["cache_age"])
        clock.date -= 10_000
        assert not await cached(llm)
        await llm.aclose()
        assert await cached(llm)
        clock.date += 3600
        assert not await cached(llm)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["folder", "no folder", "no database", "another program's", "no permission"])
async def test_a_store_that_cannot_be_used_fails_no_call(
    mock_completion: CompletionDouble, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once in the log (of lookups and of writes), counted, and left alone."""
    file = {"no folder": tmp_path / "no/such/c.db", "no permission": Path("/proc/c.db")}.get(kind, tmp_path / "c.db")
    if kind == "folder":
        file.mkdir()
    elif kind == "no database":
        file.write_bytes(b"my diary" * 100)
    elif kind == "another program's":
        edit(file, "CREATE TABLE people (name)")
    async with llm_at(file) as llm:
        for number in range(1, 11):
            assert not await cached(llm)
            assert number == mock_completion.call_count
        stats = llm._cache.stats()
        assert (0, 0, 10) == (stats["hits"], stats["stores"], stats["misses"])
        assert 3 + 3 == stats["errors"]
        assert (stats["skipped"] or 0) >= 10
    assert 2 == len([message for message in caplog.messages if str(file) in message])


@pytest.mark.asyncio
async def test_a_file_that_goes_away_mid_run_fails_no_call(mock_completion: CompletionDouble, tmp_path: Path) -> None:
    """Its folder too: the calls go on, and find the answers again when it is back."""
    folder = tmp_path / "folder"
    folder.mkdir()
    async with llm_at(folder / "c.db") as llm:
        assert not await cached(llm)
        await llm.aclose()
        assert await cached(llm)
        await llm.aclose()
        folder.rename(tmp_path / "elsewhere")
        assert not await cached(llm, "another")
        (tmp_path / "elsewhere").rename(folder)
        assert await cached(llm)


def test_a_program_that_closes_nothing_keeps_its_answers(tmp_path: Path) -> None:
    """And ends without a word."""
    program = (
        "import asyncio, logging, sys\n"
        "from multi_llm_wrapper import *\n"
        "from multi_llm_wrapper.testing import CompletionDouble\n"
        "busy = lambda record: not record.getMessage().startswith('Executing')\n"  # the machine, for asyncio's taste
        "logging.getLogger('asyncio').addFilter(busy)\n"
        "LLMWrapper.completion = CompletionDouble()\n"
        "config = WrapperConfig(openai=OpenAIConfig(api_key='sk-test'), cache='sqlite:///' + sys.argv[1])\n"
        "llm = LLMWrapper(config)\n"
        "async def main():\n"
        "    print((await llm.query('Hello', 'gpt-4o', timeout=60)).metadata['cached'])\n"
        "    await asyncio.sleep(float(sys.argv[2]))\n"
        "asyncio.run(main())\n"
    )
    for expected, rest in (("False", "0.5"), ("True", "0")):
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, f"{tmp_path}/c.db?timeout=5", rest]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (0, expected, "") == (done.returncode, done.stdout.strip(), done.stderr)


def test_the_answer_is_what_the_provider_said(tmp_path: Path) -> None:
    """Through bytes and file: tool calls, parsed arguments, usage, ids."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    double = CompletionDouble()
    double.return_value = completion(None, "tool_calls", message={"tool_calls": [call]}, system_fingerprint="fp")

    async def main() -> list[Response]:
        async with llm_at(tmp_path / "c.db") as llm:
            first = await ask(llm)
            await llm.aclose()
            return [first, await ask(llm)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LLMWrapper, "completion", double)
        first, second = asyncio.run(main())
    own = ("cached", "cache_age", "cost_usd", "attempts", "attempts_detail", "response_time")
    for response in (first, second):
        for name in own:
            response.metadata.pop(name, None)
        del response["timestamp"]
    assert first == second
    assert [{"id": "call_1", "name": "f", "arguments": {"a": 1}, "arguments_raw": '{"a": 1}'}] == second.tool_calls
