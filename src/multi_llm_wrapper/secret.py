"""A value that must not be printed."""

from __future__ import annotations

import hmac
from typing import Any


class Secret:
    """Holds a key. `str`, `repr` and formatting give `***`; `reveal()` gives the value, and nothing else does.

    Compares equal to the same secret and to the same plain string, so that tests can say what they expect.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        return self.__value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        value = other.__value if isinstance(other, Secret) else other
        return isinstance(value, str) and hmac.compare_digest(_bytes(self.__value), _bytes(value))

    def __hash__(self) -> int:
        return hash(self.__value)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled; pass the key by environment variable instead")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
