"""What all calls together were: sums and response times by provider and model, sums by tag.

One idea: every number lives in one cell, that of a provider's model or that of a tag, and whatever else is asked for is
added up from cells. A call that asked several models of one provider is one request there and one for each model: it
has cells of its own. Each cell is of fixed size and there are at most so many, so that calls leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Context, Decimal
from typing import Any, TypeAlias, TypeVar

from ..types import Usage
from .histogram import Histogram
from .record import Record, Share, total

MAX_CELLS = 1000
"""Models and, apart from them, tags that are told apart. What is beyond counts as `OTHER`, at its provider."""
MAX_NAME = 256
"""Characters of a name that may have a cell of its own."""
OTHER = "(other)"


def _exact() -> Context:
    """Digits enough for any sum of prices, whatever precision the program computes with elsewhere."""
    return Context(prec=60, traps=[])


@dataclass(slots=True)
class Cell:
    """The sums of one model or one tag."""

    requests: int = 0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    errors: int = 0
    retries: int = 0
    hedges: int = 0
    cache_hits: int = 0
    abandoned: int = 0
    unpriced_requests: int = 0
    errors_by_class: dict[str, int] = field(default_factory=dict)
    cost: Decimal = Decimal(0)
    _context: Context = field(default_factory=_exact)

    def add(self, share: Share, abandoned: bool) -> None:
        """One request, with all of its attempts. A provider that had failed already was not abandoned."""
        self.requests += 1
        if share.error_type is not None:
            self.errors += 1
            self.errors_by_class[share.error_type] = self.errors_by_class.get(share.error_type, 0) + 1
        elif abandoned:
            self.abandoned += 1
        self.hedges += share.hedges
        self.retries += share.retries
        if share.usage is not None:
            self._use(share.usage)
            if share.cost is not None:
                self.cost = self._context.add(self.cost, share.cost)
            if share.cost is None or share.partly_priced:
                self.unpriced_requests += 1

    def _use(self, usage: Usage) -> None:
        inside, outside = usage.input_tokens or 0, usage.output_tokens or 0
        self.tokens += inside + outside if usage.total_tokens is None else usage.total_tokens
        self.input_tokens += inside
        self.output_tokens += outside
        self.cache_read_tokens += usage.cache_read_tokens or 0
        self.cache_write_tokens += usage.cache_write_tokens or 0
        self.reasoning_tokens += usage.reasoning_tokens or 0

    def merge(self, other: Cell) -> None:
        for name in COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for error_type, count in other.errors_by_class.items():
            self.errors_by_class[error_type] = self.errors_by_class.get(error_type, 0) + count
        self.cost = self._context.add(self.cost, other.cost)

    def stats(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in COUNTERS}
        return {**found, "errors_by_class": dict(self.errors_by_class), "cost_usd": float(self.cost)}


COUNTERS = tuple(part.name for part in fields(Cell) if part.type == "int")


@dataclass(slots=True)
class ModelCell(Cell):
    """The sums of a provider's model, and its times in seconds. Those of streams are there once there was one."""

    response: Histogram = field(default_factory=Histogram)
    first_token: Histogram | None = None
    per_token: Histogram | None = None

    def count(self, share: Share, record: Record) -> None:
        self.add(share, record.status == "abandoned")
        self._time(share)

    def _time(self, share: Share) -> None:
        self.response.record(share.seconds)
        if share.first_token is None:
            return
        if self.first_token is None:
            self.first_token = Histogram()
        self.first_token.record(share.first_token)
        if share.per_token is not None:
            if self.per_token is None:
                self.per_token = Histogram()
            self.per_token.record(share.per_token)


class Meter:
    """Totals since the start. A call counts once for each provider it asked, as an error if its last attempt there
    failed, and in the same way for each model."""

    def __init__(self) -> None:
        self._models: dict[_Model, ModelCell] = {}
        self._several: dict[str, ModelCell] = {}  # provider -> calls that asked it for several models
        self._parts: dict[_Model, ModelCell] = {}  # what each model had in those
        self._tags: dict[str, Cell] = {}

    def record(self, record: Record) -> None:
        """An answer that was there already, or was asked for by another call, is a cache hit and nothing else; a call
        that reached nobody is nothing."""
        if record.cached:
            _model(self._models, record.provider or "", record.model or "").cache_hits += 1
        elif len(record.shares) == 1 or len({share.provider for share in record.shares}) == len(record.shares):
            for share in record.shares:
                self._count(self._models, share, record)
        else:
            for whole, parts in record.by_provider():
                if len(parts) == 1:
                    self._count(self._models, whole, record)
                else:
                    provider = whole.provider
                    _cell(self._several, provider, provider, 0, ModelCell).count(whole, record)
                    for part in parts:
                        self._count(self._parts, part, record)
        if record.tags and (record.cached or record.shares):
            self._tagged(record)

    @staticmethod
    def _count(cells: dict[_Model, ModelCell], share: Share, record: Record) -> None:
        cell = cells.get((share.provider, share.model)) or _model(cells, share.provider, share.model)
        cell.count(share, record)

    def _tagged(self, record: Record) -> None:
        whole, abandoned = _whole(record), record.status == "abandoned"
        for name, value in record.tags.items():
            tag = f"{name}={value}"
            cell = self._tags.get(tag) or self._tag(tag)
            if record.cached:
                cell.cache_hits += 1
            else:
                cell.add(whole, abandoned)

    def _tag(self, tag: str) -> Cell:
        return _cell(self._tags, tag, OTHER, len(tag), Cell)

    def stats(self, configured: Iterable[str] = (), by: str = "provider") -> dict[str, dict[str, Any]]:
        """Sums by provider (of those `configured` also where there is nothing), by "provider/model" or by "name=value".

        A copy. Raises ValueError for another `by`.
        """
        cells: Mapping[str, Cell]
        match by:
            case "provider":
                cells = self._providers(configured)
            case "model":
                cells = self._by_model()
            case "tag":
                cells = self._tags
            case _:
                raise ValueError(f'by must be "provider", "model" or "tag", not {by!r}.')
        return {name: cell.stats() for name, cell in cells.items()}

    def _providers(self, configured: Iterable[str]) -> dict[str, Cell]:
        found = {name: Cell() for name in configured}
        for provider, cell in self._at_providers():
            found.setdefault(provider, Cell()).merge(cell)
        return found

    def _by_model(self) -> dict[str, Cell]:
        found: dict[str, Cell] = {}
        for (provider, model), cell in (*self._models.items(), *self._parts.items()):
            found.setdefault(f"{provider}/{model}", Cell()).merge(cell)
        return found

    def _at_providers(self) -> Iterator[tuple[str, ModelCell]]:
        """The cells in which a call counts once for its provider."""
        yield from ((provider, cell) for (provider, _), cell in self._models.items())
        yield from self._several.items()

    def average_seconds(self, provider: str) -> float:
        """The mean response time; 0.0 when there was no request."""
        cells = self._of(provider)
        return sum(cell.response.sum for cell in cells) / (sum(cell.requests for cell in cells) or 1)

    def response_times(self, provider: str) -> dict[str, Any]:
        """`count`, `mean`, `p50`, `p90`, `p95`, `p99` and `max` in seconds, and the same of `time_to_first_token` and
        `time_per_output_token`; all 0 where there is nothing."""
        cells = self._of(provider)
        return {
            **Histogram.merged(cell.response for cell in cells).summary(),
            "time_to_first_token": Histogram.merged(cell.first_token for cell in cells).summary(),
            "time_per_output_token": Histogram.merged(cell.per_token for cell in cells).summary(),
        }

    def _of(self, provider: str) -> list[ModelCell]:
        return [cell for name, cell in self._at_providers() if name == provider]


_Model: TypeAlias = tuple[str, str]
"""Of a provider."""
_Key = TypeVar("_Key")
_Cell = TypeVar("_Cell", bound=Cell)


def _cell(cells: dict[_Key, _Cell], key: _Key, other: _Key, length: int, new: type[_Cell]) -> _Cell:
    """The cell of that key, or the one for what has none of its own."""
    if key not in cells and (len(cells) >= MAX_CELLS or length > MAX_NAME):
        key = other
    found = cells.get(key)
    if found is None:
        found = cells[key] = new()
    return found


def _model(cells: dict[_Model, ModelCell], provider: str, model: str) -> ModelCell:
    return _cell(cells, (provider, model), (provider, OTHER), len(model), ModelCell)


def _whole(record: Record) -> Share:
    """A call as one share: for a tag it does not matter who had which part."""
    shares, error_type = record.shares, None
    if record.status == "error":
        error_type = record.error_type or "general_error"
    if len(shares) == 1 and shares[0].error_type == error_type:
        return shares[0]
    hedges = retries = 0
    for share in shares:
        hedges += share.hedges
        retries += share.retries
    return Share(
        record.provider or "",
        record.model or "",
        record.response_time,
        record.usage,
        record.cost if record.cost is not None else total([share.cost for share in shares]),
        error_type,
        record.attempts,
        hedges,
        retries,
        partly_priced=record.cost is None and any(share.unpriced for share in shares),
    )


__all__ = ["COUNTERS", "MAX_CELLS", "MAX_NAME", "OTHER", "Meter"]
