"""What the simulated provider is set to: what it says, how long it takes, what it allows; and what is left of that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..types import ChatRequest
from . import replay, scenario_file, tokens
from .dice import Dice
from .journal import fingerprint
from .limits import Buckets, Limiter, headers
from .plan import Plan, SimRequest, Step, whole
from .playbook import Playbook
from .refusals import key_of
from .scenario import Answer, Limits, Mode, ModelSettings, Scenario
from .timing import HEADER, Pacer, Timing, Timings, TimingTable
from .windows import Windows

Scenarios = Scenario | Path | str | Mapping[str, Any]


class Stage:
    """The settings of one simulator; `reset` brings back those it was made with."""

    def __init__(
        self,
        *,
        mode: Mode = "prose",
        timing: Timings | None = None,
        limits: Limits | None = None,
        context_windows: bool | Mapping[str, int] = False,
        scenario: Scenarios | None = None,
        recordings: replay.Recordings | Path | str | None = None,
    ) -> None:
        self._mode, self._timing, self._limits = mode, TimingTable(timing), limits
        self._windows = _windows(context_windows)
        self._scenario = None if scenario is None else read_scenario(scenario)
        self.recordings = replay.load(recordings) if isinstance(recordings, Path | str) else recordings
        self.playbook = Playbook()
        self.reset()

    def reset(self) -> int | None:
        """As new; the seed that the scenario wants, if it says one."""
        self.mode, self.timing, self.windows = self._mode, self._timing, self._windows
        self.limiter = None if self._limits is None else Limiter(self._limits)
        self._by_model = TimingTable(None)
        self.playbook.clear()
        if self.recordings is not None:
            self.recordings.reset()
        return None if self._scenario is None else self.use(self._scenario)

    def use(self, scenario: Scenarios) -> int | None:
        """Puts a scenario in place of what was scripted before; its settings are added to those in force. Returns the
        seed it wants. Raises `ScenarioError`, and then nothing has changed."""
        read = read_scenario(scenario)
        self.playbook.clear()
        for rule in read.replies:
            self.playbook.add(rule)
        self.playbook.default = read.default
        if read.mode is not None:
            self.mode = read.mode
        if read.timing is not None:
            self.timing = TimingTable(read.timing)
        if read.limits is not None:
            self.limiter = Limiter(read.limits)
        if read.models or read.context_windows is not None:
            known = self.windows.known if read.context_windows is None else read.context_windows
            self.windows = Windows(known, read.models)
            self._by_model = TimingTable({name: row.timing for name, row in read.models.items() if row.timing})
        return read.seed

    # --- time -------------------------------------------------------------------------------------------------------

    def pacer(
        self,
        request: SimRequest,
        model: str,
        dice: tuple[int, int],
        constant: Timing | None,
        answer: Answer | None = None,
    ) -> Pacer | None:
        """The waits of one reply: what the request's header says, else the scripted answer, else the model's timing,
        else `constant`. None: everything at once. Raises `ValueError` for a header that makes no sense."""
        timing = self._timing_of(request, model, answer) or constant
        return None if timing is None or timing == _ZERO else Pacer(timing, Dice(*dice, "timing"))

    def _timing_of(self, request: SimRequest, model: str, answer: Answer | None) -> Timing | None:
        if HEADER in request.headers:
            return Timing.of(request.headers[HEADER])
        if answer is not None and answer.timing is not None:
            return Timing.of(answer.timing)
        return self._by_model.find(model) or self.timing.find(model)

    # --- limits -----------------------------------------------------------------------------------------------------

    def admit(self, request: SimRequest, asked: ChatRequest, dialect: str, style: str, now: float) -> Buckets | None:
        """Lets a request in. Raises the provider's own error when it is over a rate limit or a window; lowers its
        `max_tokens` to what the model can give."""
        if not (self.limiter or self.windows):
            return None
        prompt = tokens.prompt_tokens(asked)
        if self.windows:
            room = self.windows.check(dialect, asked.model, prompt, asked.max_tokens)
            asked.max_tokens = min((n for n in (room, asked.max_tokens) if n is not None), default=None)
        buckets = self._buckets(request, dialect, now)
        if self.limiter is not None and buckets is not None:
            self.limiter.admit(buckets, style, asked.model, prompt, now)
        return buckets

    def told(self, plan: Plan, request: SimRequest, dialect: str, style: str, now: float) -> Plan:
        """The reply with the headers that tell how much is left."""
        buckets = self._buckets(request, dialect, now)
        if buckets is not None:
            plan.headers = plan.headers | headers(style, buckets, now, refused=plan.status == 429)
        return plan

    def _buckets(self, request: SimRequest, dialect: str, now: float) -> Buckets | None:
        key = key_of(request, dialect)
        return self.limiter.of(fingerprint(key), now) if self.limiter is not None and key else None

    # --- recordings -------------------------------------------------------------------------------------------------

    def recorded(self, request: SimRequest, pacer: Pacer | None) -> Plan | None:
        """The recorded reply to this request; None when there is none left for it."""
        found = None if self.recordings is None else self.recordings.find(request)
        if found is None:
            return None
        if (chunks := found.chunks) is None:
            return whole(found.status, dict(found.headers), found.data, pacer.tokens(1) if pacer else 0.0)
        waits = [pacer.tokens(1) if pacer else 0.0 for _ in chunks]
        return Plan(found.status, dict(found.headers), [Step(w, c) for w, c in zip(waits, chunks, strict=True)])


_ZERO = Timing()


def read_scenario(scenario: Scenarios) -> Scenario:
    """A scenario from a file, or from the same structure in Python."""
    if isinstance(scenario, Path | str):
        return scenario_file.load(scenario)
    return scenario if isinstance(scenario, Scenario) else scenario_file.convert(dict(scenario), Scenario, "scenario")


def _windows(windows: bool | Mapping[str, int]) -> Windows:
    if isinstance(windows, bool):
        return Windows(windows)
    return Windows(False, {name: ModelSettings(context_window=size) for name, size in windows.items()})
