"""The journal: bounded, free of keys, and something to wait for."""

from __future__ import annotations

import threading
from hashlib import sha256

import pytest

from multi_llm_wrapper.simulator import Journal, SimRequest

KEY = "sk-canary-0123456789"


def add(journal: Journal, body: bytes = b"", query: str = "", headers: dict[str, str] | None = None) -> None:
    journal.add(SimRequest("POST", "/p", query, headers or {}, body), 1.0)


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "x-goog-api-key", "api-key", "proxy-authorization"])
def test_keys_are_hashed(name: str) -> None:
    """A key is in no field of an entry; its hash is, the same with and without the word Bearer."""
    journal = Journal()
    headers = {name: f"Bearer {KEY}", "other": "kept"}
    add(journal, headers=headers)
    add(journal, headers={name: KEY})
    hashed = "sha256:" + sha256(KEY.encode()).hexdigest()[:12]

    assert KEY not in repr(list(journal))
    assert [hashed, hashed] == [entry.headers[name] for entry in journal]
    assert journal[0].headers["other"] == "kept"
    assert f"Bearer {KEY}" == headers[name]


def test_keys_in_the_query_are_hashed() -> None:
    """Gemini takes its key there, too."""
    journal = Journal()
    add(journal, query=f"alt=sse&KEY={KEY}")

    assert KEY not in repr(list(journal))
    assert journal[0].query.startswith("alt=sse&KEY=sha256")


def test_the_oldest_entries_go_when_there_are_too_many() -> None:
    """Bounded in number; numbers go on."""
    journal = Journal(max_entries=3)
    for _ in range(5):
        add(journal)

    assert [entry.number for entry in journal] == [3, 4, 5]


def test_the_oldest_entries_go_when_their_bodies_are_too_big() -> None:
    """Bounded in bytes; even one body over the bound is not kept."""
    journal = Journal(max_body_bytes=100)
    for _ in range(5):
        add(journal, b"x" * 40)
    assert [entry.number for entry in journal] == [4, 5]
    add(journal, b"x" * 101)

    assert len(journal) == 0


def test_clearing_starts_over() -> None:
    """Numbers and the count of bytes begin anew."""
    journal = Journal(max_body_bytes=100)
    add(journal, b"x" * 90)
    journal.clear()
    add(journal, b"y" * 90)

    assert [(entry.number, entry.body) for entry in journal] == [(1, b"y" * 90)]


@pytest.mark.parametrize(("body", "value"), [(b'{"a": [1]}', {"a": [1]}), (b"", None), (b"{", None), (b"\xff", None)])
def test_a_body_is_read_as_json_when_it_is_some(body: bytes, value: object) -> None:
    """`json` is None for anything else."""
    journal = Journal()
    add(journal, body)

    assert value == journal[0].json


def test_waiting_ends_when_the_condition_holds() -> None:
    """At once, after a change from another thread, or at the limit."""
    journal = Journal()
    assert not journal.wait_for(lambda journal: len(journal) == 1, timeout=0.01)

    def later() -> None:
        add(journal)
        journal.changed()

    thread = threading.Thread(target=later)
    thread.start()
    assert journal.wait_for(lambda journal: len(journal) == 1)
    thread.join()
    assert journal.wait_for(lambda journal: len(journal) == 1, timeout=0.0)
