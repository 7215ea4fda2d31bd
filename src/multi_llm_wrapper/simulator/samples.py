"""What stands in the strings of made-up JSON: something a reader finds sensible where the property's name tells what
is wanted, plain words elsewhere."""

from __future__ import annotations

from uuid import UUID

from .dice import Dice

WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "indigo", "juniper", "kestrel", "lagoon",
    "maple", "north", "olive", "pebble", "quartz", "river", "summit", "thistle", "umber", "valley", "willow", "zephyr",
)  # fmt: skip

BY_NAME: dict[str, tuple[str, ...]] = {
    "city": ("Paris", "Oslo", "Kyoto", "Lima", "Nairobi"),
    "location": ("Paris", "Oslo", "Kyoto", "Lima", "Nairobi"),
    "country": ("France", "Norway", "Japan", "Peru", "Kenya"),
    "capital": ("Paris", "Oslo", "Tokyo", "Lima", "Nairobi"),
    "name": ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Emmy Noether"),
    "author": ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Emmy Noether"),
    "email": ("ada@example.com", "alan@example.org", "grace@example.net"),
    "url": ("https://example.com/", "https://example.org/docs", "https://example.net/a?b=c"),
    "date": ("2026-01-31", "2026-06-01", "2027-12-24"),
    "time": ("09:30", "12:00", "18:45"),
    "unit": ("celsius", "metres", "kilograms"),
    "currency": ("EUR", "JPY", "USD"),
    "language": ("en", "fr", "ja"),
    "color": ("amber", "indigo", "olive"),
    "title": ("A short title", "On the matter at hand", "Notes"),
    "summary": ("A short summary of the matter.", "In short: it depends."),
    "description": ("A description in a few words.", "What there is to say about it."),
    "answer": ("The simulated answer.", "It depends on the case."),
    "reason": ("It follows from what was asked.", "Nothing speaks against it."),
}

_FORMATS: dict[str, tuple[str, ...]] = {
    "date": ("2026-01-31", "2026-06-01", "2027-12-24"),
    "date-time": ("2026-01-31T09:30:00Z", "2026-06-01T12:00:00Z", "2027-12-24T18:45:30Z"),
    "time": ("09:30:00Z", "12:00:00Z", "18:45:30Z"),
    "duration": ("PT15M", "P3D", "P1Y2M"),
    "email": ("ada@example.com", "alan@example.org", "grace@example.net"),
    "hostname": ("example.com", "api.example.org", "www.example.net"),
    "ipv4": ("192.0.2.1", "198.51.100.7", "203.0.113.42"),
    "ipv6": ("2001:db8::1", "2001:db8::7:42", "2001:db8:1::1"),
    "uri": ("https://example.com/", "https://example.org/docs", "https://example.net/a?b=c"),
    "uri-reference": ("/docs", "../a", "https://example.org/docs"),
    "json-pointer": ("/a/0", "/b", ""),
    "regex": ("^[a-z]+$", "a|b", "x*"),
}
_SAME = {"idn-email": "email", "idn-hostname": "hostname", "iri": "uri", "url": "uri", "iri-reference": "uri-reference"}


def formatted(name: object, dice: Dice) -> str | None:
    """A string of a JSON schema `format`, None for one that is not known (formats are open-ended)."""
    if not isinstance(name, str):
        return None
    if name == "uuid":
        return str(UUID(bytes=bytes(dice.below(256) for _ in range(16)), version=4))
    values = _FORMATS.get(_SAME.get(name, name))
    return dice.pick(values) if values else None


def text(name: str, dice: Dice) -> str:
    """A string for a property of this name; `""` when it has none."""
    word = name.rpartition("_")[2].lower()
    values = BY_NAME.get(word) or BY_NAME.get(name.lower())
    return dice.pick(values) if values else f"{dice.pick(WORDS)} {dice.pick(WORDS)}"


def fit(value: str, least: int, most: int, dice: Dice) -> str:
    """The string made longer or shorter until its length is allowed."""
    while len(value) < least:
        value = f"{value} {dice.pick(WORDS)}" if value else dice.pick(WORDS)
    return value[:most].rstrip() if len(value[:most].rstrip()) >= least else value[:most]
