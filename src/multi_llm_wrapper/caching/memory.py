"""The cache in this process: least recently used goes first, bounded in bytes, each entry for a limited time."""

from __future__ import annotations

from collections import OrderedDict

MAX_BYTES = 64 * 1024 * 1024
_OVERHEAD = 200
"""What an entry costs beside its value: key, tuple, place in the dict."""


class MemoryStore:
    """Values by key until `expires` (unix seconds). Not shared between processes, and not between threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self.evicted = 0
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires, value = entry
        if now >= expires:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: bytes, expires: float) -> bool:
        """Keeps `value`, unless it alone is larger than the whole cache."""
        if key in self._entries:
            self._remove(key)
        cost = len(value) + _OVERHEAD
        if cost > self.max_bytes:
            return False
        self._entries[key] = (expires, value)
        self.size += cost
        while self.size > self.max_bytes:
            self._remove(next(iter(self._entries)))
            self.evicted += 1
        return True

    def _remove(self, key: str) -> None:
        _, value = self._entries.pop(key)
        self.size -= len(value) + _OVERHEAD
