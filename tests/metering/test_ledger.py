"""The queue and the thread in front of a ledger: calls never wait for it, and what can be written is written."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread

import pytest

from multi_llm_wrapper.metering.ledger import open_ledger
from multi_llm_wrapper.metering.ledger.run import Run
from multi_llm_wrapper.metering.ledger.sink import Bounds, RefusedError
from multi_llm_wrapper.metering.ledger.writer import YIELD, Writer
from multi_llm_wrapper.metering.record import Record
from tests.metering.ledger_support import ids, record

QUICK = Bounds(gather=0.001, retry=0.001, slowest=0.002, flush=10.0)


class Book:
    """A sink in memory, which fails as often as it is told to, and then waits for `free`."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.batches: list[list[str | None]] = []
        self.opened = self.closed = 0
        self.free, self.busy = Event(), Event()
        self.free.set()

    def open(self) -> Book:
        self.opened += 1
        return self

    def write(self, records: Sequence[Record]) -> int:
        self.busy.set()
        self.free.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append([record.request_id for record in records])
        return sum(record.status == "unfit" for record in records)

    def close(self) -> None:
        self.closed += 1

    @property
    def found(self) -> list[str | None]:
        return [name for batch in self.batches for name in batch]


def names(count: int) -> list[str]:
    return [f"req-{number}" for number in range(count)]


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(20_000):
        if done():
            return
        time.sleep(0.001)
    raise AssertionError("it never came to that")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "multi-llm-ledger"]


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records]


# --- what goes well ---------------------------------------------------------------------------------------------


def test_records_are_written_in_their_order_and_many_at_once() -> None:
    """A batch is what came in meanwhile, at most as much as it may be; closing writes the rest and ends the thread."""
    book = Book()
    ledger = Writer("test", book.open, Bounds(batch=400, gather=5.0))
    assert [] == threads()
    for number in range(1000):
        ledger.add(record(number))

    assert (["multi-llm-ledger"], 1000) == (threads(), ledger.waiting)
    asyncio.run(ledger.aclose())

    assert (names(1000), [400, 400, 200]) == (book.found, [len(batch) for batch in book.batches])
    assert ([], 0, 0, 1, 1) == (threads(), ledger.waiting, ledger.lost, book.opened, book.closed)


def test_what_is_added_is_written_without_a_close() -> None:
    """The first record wakes the thread, and so does one that comes when all is quiet."""
    book = Book()
    ledger = Writer("test", book.open, QUICK)
    for number in range(3):
        ledger.add(record(number))
        wait_until(lambda: ledger.waiting == 0)
        assert ledger._run is not None
        assert not ledger._run.awake.is_set()  # it would not sleep

    assert (names(3), 1) == (book.found, book.opened)
    asyncio.run(ledger.aclose())


def test_a_ledger_can_be_closed_and_used_again() -> None:
    """Closing twice, or before the first record, is harmless; nothing is left of what was closed."""
    book = Book()
    ledger = Writer("test", book.open, QUICK)
    asyncio.run(ledger.aclose())
    for number in range(2):
        ledger.add(record(number))
        asyncio.run(ledger.aclose())
        asyncio.run(ledger.aclose())

    assert (names(2), 2, 2, []) == (book.found, book.opened, book.closed, threads())
    gc.collect()
    assert [] == [found for found in gc.get_objects() if isinstance(found, Run) and found._open == book.open]


def test_closing_does_not_hold_up_the_loop() -> None:
    """Other tasks run on while it waits for the thread."""
    book = Book()
    book.free.clear()
    ledger = Writer("test", book.open, QUICK)
    ledger.add(record())

    async def main() -> None:
        closing = asyncio.create_task(ledger.aclose())
        await asyncio.to_thread(book.busy.wait)
        assert not closing.done()
        book.free.set()
        await closing

    asyncio.run(main())
    assert names(1) == book.found


def test_a_ledger_that_nobody_has_any_more_is_written() -> None:
    """The garbage collector does not wait for it."""
    book = Book()
    ledger = Writer("test", book.open, QUICK)
    ledger.add(record())
    del ledger
    gc.collect()

    wait_until(lambda: book.closed == 1 and not threads())
    assert names(1) == book.found


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_write_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost and nothing is twice there; each trouble is told once, and so is its end."""
    book = Book(*[OSError("disk full")] * 4, OSError("locked"))
    ledger = Writer("test", book.open, QUICK)
    for number in range(5):
        ledger.add(record(number))
    wait_until(lambda: ledger.waiting == 0)
    asyncio.run(ledger.aclose())

    assert (names(5), 0, 6, 6) == (book.found, ledger.lost, book.opened, book.closed)
    assert ["OSError: disk full", "OSError: locked"] == [
        text.split("(")[1].split(")")[0] for text in messages(caplog)[:2]
    ]
    assert ["multi_llm_wrapper: the ledger test is written again"] == messages(caplog)[2:]


def test_attempts_become_rarer() -> None:
    """Twice the wait after each failure, up to a limit, so that a full disk costs nothing."""
    waits: list[float] = []
    book = Book(*[OSError("full")] * 7)
    ledger = Writer("test", book.open, Bounds(gather=0.0, retry=0.5, slowest=10.0))
    run = ledger._begin()
    pause = run._closing.wait

    def note(timeout: float) -> bool:
        waits.append(timeout)
        return pause(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run._closing, "wait", note)
        ledger.add(record())
        wait_until(lambda: ledger.waiting == 0)

    assert [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0] == [wait for wait in waits if wait]
    asyncio.run(ledger.aclose())


def test_records_that_find_the_queue_full_are_lost_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The oldest stay: they are nearest to being written."""
    book, now = Book(), [0.0]
    book.free.clear()
    ledger = Writer("test", book.open, Bounds(queue=10, batch=1, gather=0.0), monotonic=lambda: now[0])
    ledger.add(record(0))
    book.busy.wait()
    for number in range(1, 14):
        ledger.add(record(number))
    now[0] = 59.9
    ledger.add(record(14))
    assert ["multi_llm_wrapper: the ledger test lost 1 records (too many wait to be written); 1 so far"] == messages(
        caplog
    )
    now[0] = 60.0
    ledger.add(record(15))

    assert (11, 5) == (ledger.waiting, ledger.lost)
    assert messages(caplog)[1].endswith("lost 4 records (too many wait to be written); 5 so far")
    ledger.add(record(16))
    book.free.set()
    asyncio.run(ledger.aclose())
    assert names(11) == book.found
    assert messages(caplog)[2].endswith("lost 1 records (the ledger is closed); 6 so far")


def test_closing_gives_up_after_its_time(caplog: pytest.LogCaptureFixture) -> None:
    """The log says how many records it cost; a later call begins anew, with an empty queue."""
    book = Book(*[OSError("disk full")] * 10_000)
    ledger = Writer("test", book.open, Bounds(gather=0.0, retry=0.01, flush=0.05))
    for number in range(3):
        ledger.add(record(number))
    asyncio.run(ledger.aclose())

    assert (3, []) == (ledger.lost, threads())
    assert messages(caplog)[-1].endswith(
        "lost 3 records (the ledger was closed, and they could not be written); 3 so far"
    )
    book.failures.clear()
    ledger.add(record(7))
    asyncio.run(ledger.aclose())
    assert ["req-7"] == book.found


def test_closing_does_not_wait_for_what_is_refused() -> None:
    """A ledger of a newer version does not become older within five seconds."""
    book = Book(*[RefusedError("newer")] * 1000)
    ledger = Writer("test", book.open, Bounds(gather=0.0, retry=50.0, flush=50.0))
    ledger.add(record())
    asyncio.run(ledger.aclose())
    assert (1, []) == (ledger.lost, threads())


def test_closing_leaves_a_write_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    """It says so; a call is never held up, not even by that."""
    book = Book()
    book.free.clear()
    ledger = Writer("test", book.open, Bounds(gather=0.0, flush=0.01))
    ledger.add(record())
    book.busy.wait()
    asyncio.run(ledger.aclose())

    assert ["multi_llm_wrapper: the ledger test hangs in a write; 1 records may be lost"] == messages(caplog)
    book.free.set()
    wait_until(lambda: not threads())


def test_a_sink_that_cannot_be_closed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """And ends nothing else."""
    book = Book()
    book.close = lambda: 1 / 0  # type: ignore[assignment, method-assign]  # one that fails
    ledger = Writer("test", book.open, QUICK)
    ledger.add(record())
    asyncio.run(ledger.aclose())
    assert (names(1), True) == (book.found, "ZeroDivisionError" in caplog.text)


def test_records_that_make_no_row_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """They are not tried again."""
    book = Book()
    ledger = Writer("test", book.open, Bounds(gather=5.0))
    ledger.add(record(0))
    ledger.add(record(1, status="unfit"))
    asyncio.run(ledger.aclose())
    assert (1, 1) == (ledger.lost, len(book.batches))
    assert messages(caplog)[0].endswith("lost 1 records (no row can be made of them); 1 so far")


def test_a_thread_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next record, and at the close without a thread."""
    book = Book()
    ledger = Writer("test", book.open, QUICK)

    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        ledger.add(record(0))
    assert (1, []) == (ledger.waiting, threads())
    ledger.add(record(1))
    asyncio.run(ledger.aclose())
    assert names(2) == book.found

    run = ledger._begin()
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        ledger.add(record(2))
    run.close()
    run.join()
    assert names(3) == book.found


# --- the process ------------------------------------------------------------------------------------------------


def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    head = (
        "import asyncio, logging, os, sys, time; from multi_llm_wrapper.metering.ledger import open_ledger;"
        "from multi_llm_wrapper.metering.ledger.sink import Bounds;"
        "from multi_llm_wrapper.metering.ledger.writer import Writer\n"
        "from tests.metering.ledger_support import record\nlogging.basicConfig()\n"
    )
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", head + code, *args], capture_output=True, text=True, check=False
    )


def test_a_program_that_closes_nothing_is_flushed_at_its_end(tmp_path: Path) -> None:
    """At once, and without a word."""
    file = tmp_path / "u.db"
    code = "ledger = open_ledger('sqlite:///' + sys.argv[1])\nfor number in range(700): ledger.add(record(number))"
    done = run(code, str(file))

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert names(700) == ids(file)
    assert [file] == list(tmp_path.iterdir())


def test_the_end_of_a_program_waits_no_longer_than_that() -> None:
    """For a ledger that cannot be written, and for one that hangs."""
    code = (
        "class Bad:\n"
        "    def write(self, records):\n"
        "        if sys.argv[1] == 'hangs': time.sleep(50)\n"
        "        raise OSError('disk full')\n"
        "    def close(self): pass\n"
        "ledger = Writer('test', Bad, Bounds(gather=0.0, flush=0.1)); ledger.add(record()); time.sleep(0.05)"
    )
    begun = time.monotonic()
    lost, hung = run(code, "fails"), run(code, "hangs")

    assert ([0, 0], True) == ([lost.returncode, hung.returncode], time.monotonic() - begun < 30)
    assert "lost 1 records (the ledger was closed, and they could not be written)" in lost.stderr
    assert "hangs in a write; 1 records may be lost" in hung.stderr


FORKED = """
import warnings; warnings.simplefilter("ignore")
ledger = open_ledger("sqlite:///" + sys.argv[1])
def written(*numbers):
    for number in numbers: ledger.add(record(number))
    while ledger.waiting: time.sleep(0.001)
written(0)
ledger.add(record(1))
(heard, say), (told, tell) = os.pipe(), os.pipe()
child = os.fork()
if not child:
    written(2)
    os.write(say, b".")
    os.read(told, 1)
    ledger.add(record(3))
    begun = time.monotonic()
    grandchild = os.fork()
    if not grandchild:
        ledger.add(record(6))
        asyncio.run(ledger.aclose())
        os._exit(0)
    os.waitpid(grandchild, 0)
    asyncio.run(ledger.aclose())
    os._exit(ledger.lost + (time.monotonic() - begun > 4.5))
os.read(heard, 1)
ledger.add(record(4))
asyncio.run(ledger.aclose())
os.write(tell, b".")
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
ledger.add(record(5))
sys.exit(status)
"""


def test_after_a_fork_each_process_writes_its_own(tmp_path: Path) -> None:
    """The child neither repeats what waits in the parent nor has its connection, and either may close before the
    other."""
    file = tmp_path / "u.db"
    done = run(FORKED, str(file))

    assert (0, "") == (done.returncode, done.stderr)
    assert names(7) == sorted(ids(file))


def test_a_fork_in_a_write_that_hangs_leaves_the_child_without(caplog: pytest.LogCaptureFixture) -> None:
    """Rather than to spoil the file; the parent goes on."""
    book = Book()
    book.free.clear()
    ledger = Writer("test", book.open, Bounds(gather=0.0, flush=0.01))
    ledger.add(record(0))
    book.busy.wait()
    run = ledger._run
    assert run is not None
    run.part()
    run.process -= 1  # as it looks from a child
    with ledger._notes._lock:  # by the thread, which the child does not have
        ledger.add(record(1))
        wait_until(lambda: "forked in the middle of a write" in caplog.text)
        asyncio.run(ledger.aclose())
        assert 1 == ledger.lost
    run.resume()
    book.free.set()
    run.close()
    run.join()
    assert ["req-0"] == book.found


def test_sqlite_is_loaded_with_the_first_record(tmp_path: Path) -> None:
    """By the thread; who has no ledger, or makes no call, does not pay for it."""
    code = (
        "import importlib; [sys.modules.pop(name) for name in [*sys.modules] if 'ledger' in name or 'sqlite' in name]\n"
        "module = importlib.import_module('multi_llm_wrapper.metering.ledger')\n"
        "ledger = module.open_ledger('sqlite:///' + sys.argv[1]); print('sqlite3' in sys.modules)"
    )
    done = run(code, str(tmp_path / "u.db"))
    assert ("False\n", "", []) == (done.stdout, done.stderr, list(tmp_path.iterdir()))


# --- URLs -------------------------------------------------------------------------------------------------------


def test_a_url_names_a_file_here_or_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file here stays where it is when the program goes elsewhere."""
    monkeypatch.chdir(tmp_path)
    here, there = open_ledger("sqlite:///u%20v.db"), open_ledger(f"sqlite:///{tmp_path}/w.db")
    monkeypatch.chdir("/")
    for ledger in (here, there):
        ledger.add(record())
        asyncio.run(ledger.aclose())

    assert ["u v.db", "w.db"] == sorted(path.name for path in tmp_path.iterdir())
    assert f"sqlite:///{tmp_path}/w.db" == there.name


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://localhost", "begins with 'redis', which is no kind of ledger"),
        ("usage.db", "begins with '', which is no kind of ledger"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite://host/usage.db", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///a%00b", "names no file"),
        ("sqlite:///u.db#x", "names no file"),
        ("sqlite://[/u.db", "is no URL"),
        ("sqlite:///u.db?content=1", "has options behind a question mark"),
    ],
)
def test_a_url_that_means_no_ledger_is_refused(url: str, problem: str) -> None:
    """The error names the field and the remedy."""
    with pytest.raises(ValueError, match=r"^WrapperConfig\.ledger .*; (use|leave) ") as caught:
        open_ledger(url)
    assert problem in str(caught.value)


@pytest.mark.benchmark_safe
def test_adding_costs_next_to_nothing() -> None:
    """A quarter of a microsecond; the bound is for a busy machine."""
    ledger = Writer("test", Book().open, Bounds(gather=10.0))
    one = record()
    ledger.add(one)
    begun = time.thread_time()
    for _ in range(9000):
        ledger.add(one)
    assert (time.thread_time() - begun) / 9000 < 10e-6
    asyncio.run(ledger.aclose())


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "multi_llm_wrapper")


def test_a_log_handler_that_raises_ends_nothing() -> None:
    """What could not be written is written as soon as it can be."""

    class Broken(logging.Handler):
        def emit(self, entry: logging.LogRecord) -> None:
            raise OSError("no log")

    handler, log = Broken(), logging.getLogger("multi_llm_wrapper")
    log.addHandler(handler)
    try:
        book = Book(OSError("disk full"), OSError("disk full"))
        ledger = Writer("test", book.open, QUICK)
        ledger.add(record(0))
        wait_until(lambda: ledger.waiting == 0)
        asyncio.run(ledger.aclose())
    finally:
        log.removeHandler(handler)
    assert (names(1), 0) == (book.found, ledger.lost)


def test_beside_a_loop_that_never_waits_the_thread_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment, and only when many wait."""
    slept: list[float] = []
    monkeypatch.setattr("multi_llm_wrapper.metering.ledger.writer.time.sleep", slept.append)
    book = Book()
    book.free.clear()
    ledger = Writer("test", book.open, Bounds(gather=60.0))
    for number in range(2000):
        ledger.add(record(number))
    book.free.set()
    asyncio.run(ledger.aclose())
    assert ([YIELD] * 20, names(2000)) == (slept, book.found)


def test_a_file_that_cannot_be_written_makes_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait by then."""
    slept: list[float] = []
    book = Book(*[OSError("disk full")] * 3)
    ledger = Writer("test", book.open, Bounds(gather=0.0, retry=5.0, flush=0.0))
    ledger.add(record())
    wait_until(lambda: len(book.failures) < 3 and ledger._notes.in_trouble)
    monkeypatch.setattr("multi_llm_wrapper.metering.ledger.writer.time.sleep", slept.append)
    for number in range(1500):
        ledger.add(record(number))
    assert [] == slept
    asyncio.run(ledger.aclose())


BUSY = """
import asyncio, sys
from multi_llm_wrapper import LLMWrapper, OpenAIConfig, WrapperConfig
from multi_llm_wrapper.testing import CompletionDouble

async def main():
    config = WrapperConfig(openai=OpenAIConfig(api_key="sk-test"), enable_caching=False, ledger=sys.argv[1])
    async with LLMWrapper(config) as llm:
        for _ in range(20_000):
            await llm.query("Hello", "gpt-4o")
        print(llm._ledger.lost)

LLMWrapper.completion = CompletionDouble()
asyncio.run(main())
"""


def test_a_program_that_never_waits_for_anything_loses_no_row(tmp_path: Path) -> None:
    """Twice as many calls as may wait, as fast as they go, over a double."""
    file = tmp_path / "u.db"
    done = subprocess.run(
        [sys.executable, "-c", BUSY, f"sqlite:///{file}"], capture_output=True, text=True, check=False
    )
    assert (0, "0\n") == (done.returncode, done.stdout), done.stderr
    assert 20_000 == len(ids(file))
