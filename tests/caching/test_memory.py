"""The cache in memory: bounded in bytes, the least recently used goes first, and nothing is given after its time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from multi_llm_wrapper.caching.memory import _OVERHEAD, MAX_BYTES, MemoryStore

KEYS = st.sampled_from("abcd")


def test_the_default_bound_is_64_mib() -> None:
    """As the contract has it."""
    assert 64 * 1024 * 1024 == MAX_BYTES == MemoryStore().max_bytes


def test_what_was_put_is_got_until_it_expires() -> None:
    """The moment it expires it is gone, and its place is free."""
    store = MemoryStore()
    store.put("a", b"value", expires=10.0)

    assert b"value" == store.get("a", now=9.99)
    assert store.get("b", now=0) is None
    assert (1, 5 + _OVERHEAD) == (len(store), store.size)
    assert store.get("a", now=10.0) is None
    assert (0, 0, 0) == (len(store), store.size, store.evicted)


def test_a_new_value_takes_the_place_of_the_old() -> None:
    """With its own size and its own time."""
    store = MemoryStore()
    store.put("a", b"old value", expires=10)
    store.put("a", b"new", expires=20)

    assert b"new" == store.get("a", now=15)
    assert (1, 3 + _OVERHEAD) == (len(store), store.size)


def test_the_least_recently_used_goes_first() -> None:
    """Getting a value counts as using it."""
    store = MemoryStore(max_bytes=3 * (_OVERHEAD + 1))
    for key in "abc":
        store.put(key, b"1", expires=10)
    store.get("a", now=0)
    store.put("d", b"1", expires=10)

    assert [b"1", None, b"1", b"1"] == [store.get(key, now=0) for key in "abcd"]
    assert 1 == store.evicted


def test_a_large_value_drives_several_out() -> None:
    """As many as it takes, and no more."""
    store = MemoryStore(max_bytes=4 * (_OVERHEAD + 1))
    for key in "abcd":
        store.put(key, b"1", expires=10)
    store.put("e", b"x" * (_OVERHEAD + 2), expires=10)

    assert [None, None, b"1", b"1"] == [store.get(key, now=0) for key in "abcd"][:4]
    assert 2 == store.evicted


@pytest.mark.parametrize(("length", "kept"), [(100, True), (101, False)])
def test_a_value_larger_than_the_whole_is_not_kept(length: int, kept: bool) -> None:
    """Nothing is driven out for it, but the old value of its key is not given any more."""
    store = MemoryStore(max_bytes=_OVERHEAD + 100)
    assert store.put("a", b"old", expires=10)
    assert kept is store.put("a", b"x" * length, expires=10)

    assert (b"x" * length if kept else None) == store.get("a", now=0)
    assert 0 == store.evicted


class Model(RuleBasedStateMachine):
    """Beside a plain list of (key, value, expires), least recently used first."""

    LIMIT = 1000

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(self.LIMIT)
        self.entries: list[tuple[str, bytes, float]] = []
        self.now = 0.0
        self.evicted = 0

    def cost(self) -> int:
        return sum(len(value) + _OVERHEAD for _, value, _ in self.entries)

    @rule(key=KEYS, length=st.sampled_from([0, 1, 100, 300, 799, 800, 801]), ttl=st.sampled_from([0.5, 2.0, 100.0]))
    def put(self, key: str, length: int, ttl: float) -> None:
        value = bytes(length)
        self.store.put(key, value, self.now + ttl)
        self.entries = [entry for entry in self.entries if entry[0] != key]
        if length + _OVERHEAD <= self.LIMIT:
            self.entries.append((key, value, self.now + ttl))
        while self.cost() > self.LIMIT:
            self.entries.pop(0)
            self.evicted += 1

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        found = [entry for entry in self.entries if entry[0] == key]
        self.entries = [entry for entry in self.entries if entry[0] != key]
        expected = None
        if found and self.now < found[0][2]:
            self.entries.append(found[0])
            expected = found[0][1]

        assert expected == self.store.get(key, self.now)

    @precondition(lambda self: self.entries)
    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def agrees(self) -> None:
        assert (len(self.entries), self.cost(), self.evicted) == (len(self.store), self.store.size, self.store.evicted)
        assert self.store.size <= self.LIMIT


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestModel = Model.TestCase


@given(st.lists(st.tuples(st.text(max_size=2), st.binary(max_size=400)), max_size=30))
def test_the_bound_always_holds(items: list[tuple[str, bytes]]) -> None:
    """Whatever is put, the size is the sum of what is there and never above the bound."""
    store = MemoryStore(max_bytes=1500)
    for key, value in items:
        store.put(key, value, expires=1)
        there = [found for one in dict(items) if (found := store.get(one, now=0)) is not None]

        assert store.size == sum(len(found) + _OVERHEAD for found in there) <= 1500
        assert len(there) == len(store)
