"""The simulated provider itself, without I/O: a request goes in, a plan of what to send when comes out.

It speaks the server side of the dialects, so it cannot drift from the client unnoticed; what it answers is a pure
function of the request and `seed`, what it refuses is what the real APIs refuse, in their own shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, overload

from .. import dialects
from ..dialects import shape
from ..errors import LLMError, ValidationError
from . import admin, answers, content, models, refusals, replay, routes, speech
from .dice import Dice
from .faults import HEADER, Desk, Drawn, Planned, Scene, Spec, make, parse
from .journal import Journal, JournalEntry
from .meter import Meter, TimingReport
from .plan import Plan, SimRequest, Step, whole
from .playbook import Scripted, rule_of
from .routes import Route
from .scenario import Answer, Limits, Mode, When
from .scripts import Make, Match, Override, Scripts
from .stage import Scenarios, Stage
from .timing import Pacer, Timing, Timings, Wait

MAX_BODY_BYTES = 32 * 1024 * 1024

_JSON = {"content-type": "application/json"}


class Brain:
    """One simulated host of all dialects.

    `seed` decides what is said. `pace` is the time between two pieces of a stream and `first_token` the time before
    the first, in seconds; an answer in one piece takes as long as its stream would have taken. Bodies of more than
    `max_body` bytes are refused. `clock` gives unix seconds, for the journal and the rate limits.

    `timing` stands in for both with random waits (see `timing.Timing`). `mode` is what is said when nothing is
    scripted. `limits` are those of each key, `context_windows` the models' (True: the known ones; or by name), both off
    by default. `scenario` is a file or the same structure, `recordings` a file of exchanges that are served again.
    Raises `ScenarioError` for what is wrong with these two.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        pace: float = 0.0,
        first_token: float = 0.0,
        max_body: int = MAX_BODY_BYTES,
        clock: Callable[[], float] = time.time,
        mode: Mode = "prose",
        timing: Timings | None = None,
        limits: Limits | None = None,
        context_windows: bool | Mapping[str, int] = False,
        scenario: Scenarios | None = None,
        recordings: replay.Recordings | Path | str | None = None,
    ) -> None:
        self.stage = Stage(
            mode=mode,
            timing=timing,
            limits=limits,
            context_windows=context_windows,
            scenario=scenario,
            recordings=recordings,
        )
        self.meter = Meter()
        self.seed = seed
        self.pace = pace
        self.first_token = first_token
        self.max_body = max_body
        self.journal = Journal()
        self._clock = clock
        self._initial = (seed, pace, first_token)
        self._scripts = Scripts()
        self._faults = Desk()
        self._restage()

    def handle(self, request: SimRequest) -> Plan:
        """The reply to a request; both are in the journal, unless it was to `/_sim/`."""
        if request.path.startswith(admin.PREFIX):
            return admin.handle(self, request)
        return self._journaled(request, self._reply)

    def too_large(self, head: SimRequest) -> Plan:
        """The reply to a request whose body was not read to its end, having more than `max_body` bytes."""

        def refuse(request: SimRequest, route: Route, entry: JournalEntry) -> Plan:
            return self._refuse(refusals.too_large(self.max_body), entry)

        return self._journaled(head, refuse)

    def lost(self, request: SimRequest) -> None:
        """A request that came on a connection that was closed already: it is in the journal, without a reply."""
        entry = self.journal.add(request, self._clock())
        entry.dialect, entry.done = routes.find(request.path, request.headers).dialect, True
        self.journal.changed()

    def base_url(self, origin: str, dialect: str) -> str:
        """The base URL for a client of a dialect or provider (`openai`, `anthropic`, `gemini`, `groq`) at `origin`.
        Raises `ValueError` for another name."""
        if dialect not in routes.BASE_PATHS:
            raise ValueError(f"the simulator does not speak {dialect!r}; it speaks {', '.join(routes.BASE_PATHS)}")
        return origin + routes.BASE_PATHS[dialect]

    def reset(self) -> None:
        """As new: an empty journal, no scripts, the options it was made with."""
        self.seed, self.pace, self.first_token = self._initial
        self._scripts.clear()
        self._faults.clear()
        self.journal.clear()
        self.meter.clear()
        self._restage()

    def _restage(self) -> None:
        seed = self.stage.reset()
        self.seed = self.seed if seed is None else seed

    def use(self, scenario: Scenarios) -> None:
        """Plays a scenario, in place of the one before. Raises `ScenarioError`, and then nothing has changed."""
        seed = self.stage.use(scenario)
        self.seed = self.seed if seed is None else seed

    def now(self) -> float:
        """Unix seconds by the clock that it was given."""
        return self._clock()

    def timing_report(self) -> TimingReport:
        """How punctual the paced pieces were since the last reset."""
        return self.meter.report()

    # --- scripts ------------------------------------------------------------------------------------------------

    @overload
    def script(self, reply: Make, *, match: Match | None = None, times: int | None = 1) -> Override: ...
    @overload
    def script(
        self,
        reply: Answer | str | Mapping[str, Any] | list[Any],
        *,
        match: When | Mapping[str, Any] | None = None,
        times: int | None = 1,
    ) -> Scripted: ...
    def script(self, reply: Any, *, match: Any = None, times: int | None = 1) -> Override | Scripted:
        """Lays a reply ready for the next `times` requests (None: all) that `match` accepts (None: every one).

        `reply` is a text, the fields of a scenario's reply (`{"text": ..., "tool_calls": [...]}`) or a list of these,
        one after the other; `match` the fields of a scenario's match. Or `reply` is a function from the request to a
        `Plan`, and `match` one to a bool: these see raw bytes and come before all else. Of several, the one scripted
        first comes first, until it is used up; what none is for gets a healthy answer. Raises `ScenarioError`.
        """
        if callable(reply):
            return self._scripts.add(Override(reply, match, times))
        return self.stage.playbook.add(rule_of(reply, match, times))

    def fault(
        self,
        name: str,
        *,
        times: int | None = 1,
        model: str | None = None,
        match: Match | None = None,
        probability: float = 1.0,
        seed: int = 0,
        **params: float,
    ) -> Planned:
        """Lays a fault ready for the next `times` requests (None: all) that ask `model` and that `match` accepts, or
        with `probability` for each of them, the same ones for the same `seed`. `params` are the fault's own, such as
        `k`. Raises `ValueError` for a name or parameter that it does not know."""
        limit = float("inf") if times is None else times
        return self.faults(make(name, times=limit, p=probability, seed=seed, **params), match=match, model=model)

    def faults(self, *specs: Spec, match: Match | None = None, model: str | None = None) -> Planned:
        """The same for several faults: each in turn, until it is used up."""
        return self._faults.add(Planned(specs, match, model))

    def replay(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        chunks: list[bytes] | None = None,
        match: Match | None = None,
        times: int | None = 1,
    ) -> Override:
        """Scripts a recorded reply, byte for byte: `body` in one piece, or a stream of `chunks` at `pace`. The shell
        frames it anew, so headers like Content-Length are left out."""
        recorded = {name.lower(): value for name, value in headers.items()}

        def make(request: SimRequest) -> Plan:
            if chunks is None:
                return whole(status, recorded, body, self.first_token)
            first, pace = self.first_token, self.pace
            return Plan(status, recorded, [Step(pace if i else first, chunk) for i, chunk in enumerate(chunks)])

        return self.script(make, match=match, times=times)

    # --- routes -------------------------------------------------------------------------------------------------

    def _journaled(self, request: SimRequest, reply: Callable[[SimRequest, Route, JournalEntry], Plan]) -> Plan:
        entry = self.journal.add(request, self._clock())
        route = routes.find(request.path, request.headers)
        entry.dialect = route.dialect
        entry.request_id = f"req_{Dice(self.seed, entry.number).digest}"
        override = self._scripts.take(request) if self._scripts else None
        if override is not None:
            plan = override.make(request)
        elif route.kind in ("chat", "unknown") and request.method == "POST":
            plan = self._perhaps_faulty(request, route, entry, reply)
        else:
            plan = reply(request, route, entry)
        entry.status = 0 if plan.cut is not None else plan.status
        plan.entry, plan.meter = entry, self.meter
        self.journal.changed()
        return plan

    def _perhaps_faulty(
        self, request: SimRequest, route: Route, entry: JournalEntry, reply: Callable[..., Plan]
    ) -> Plan:
        """The reply, and whatever fault was asked for put into it."""
        try:
            asked, drawn = self._faults.draw(request, entry.time)
        except ValueError as error:
            return self._refuse(ValidationError(f"{HEADER}: {error}.", status_code=400, rejected_by="provider"), entry)
        if asked is not request:
            route = routes.find(asked.path, asked.headers)
            entry.dialect = route.dialect
        plan = reply(asked, route, entry)
        if drawn is None and entry.fault is not None:  # a scenario wants it
            drawn = Drawn(parse(entry.fault)[0], 0.0)
        if drawn is None:
            return plan
        fault, now = drawn.spec.fault, entry.time
        entry.fault = fault.name
        busy = sum(not (e.done or e.hung_up) for e in self.journal) - 1 if "limit" in fault.params else 0
        return fault.apply(
            plan,
            Scene(route.dialect, entry.stream, drawn.spec.params, drawn.elapsed, busy, now, entry.request_id),
        )

    def _reply(self, request: SimRequest, route: Route, entry: JournalEntry) -> Plan:
        try:
            if len(request.body) > self.max_body:
                raise refusals.too_large(self.max_body)
            if request.method == "OPTIONS":
                return whole(204, {"allow": "GET, HEAD, POST, OPTIONS"}, b"")
            if self.stage.recordings is not None and request.method == "POST":
                return self._recorded(request, entry)
            if route.kind == "unknown":
                raise refusals.unknown_path(request, route.dialect)
            if request.method not in (("POST",) if route.kind == "chat" else ("GET", "HEAD")):
                raise refusals.wrong_method(request, "POST" if route.kind == "chat" else "GET")
            if route.kind == "health":
                return whole(200, _JSON, b'{"status":"ok"}')
            refusals.check_key(request, route.dialect)
            plan = self._chat(request, route, entry) if route.kind == "chat" else self._models(route, entry)
        except LLMError as error:
            plan = self._refuse(error, entry)
        if self.stage.limiter is not None and route.kind == "chat":
            self.stage.told(plan, request, route.dialect, route.style, entry.time)
        return plan

    def _chat(self, request: SimRequest, route: Route, entry: JournalEntry) -> Plan:
        dialect, stage = dialects.get(route.dialect), self.stage
        refusals.check_version(request, route.dialect)
        path = f"{route.path}?{request.query}" if request.query else route.path
        asked = dialect.decode_request(path, request.headers, request.body)
        entry.model, entry.stream = asked.model, asked.stream
        buckets = stage.admit(request, asked, route.dialect, route.style, entry.time)
        scripted = stage.playbook.take(asked, route.dialect) if stage.playbook else None
        if scripted is None and not models.known(route.dialect, asked.model):
            raise refusals.unknown_model(route.dialect, asked.model)
        pacer = self._pacer(request, entry, scripted)
        if scripted is not None and scripted.fails:
            return self._scripted_failure(scripted, entry, pacer)
        if scripted is not None and scripted.says_something:
            made = content.draft(scripted, asked, self.seed, route.dialect, speech.CALL_IDS[route.dialect])
        else:
            made = answers.draft(asked, self.seed, speech.CALL_IDS[route.dialect], stage.mode)
        if buckets is not None:
            buckets.spend(made.output_tokens, entry.time)
        shown = bool(made.reasoning) and speech.shows_reasoning(asked, request, route)
        reply = speech.reply(asked, made, route.dialect, shown=shown)
        headers = speech.ids(entry)
        if scripted is not None:
            content.finish(reply, scripted, route.dialect)
            headers |= {name.lower(): value for name, value in scripted.headers.items()}
        plan = speech.plan(dialect, reply, made, request.body if asked.stream else None, pacer)
        plan.headers |= headers
        if scripted is not None and scripted.status is not None:
            plan.status = scripted.status
        if scripted is not None:
            entry.fault = scripted.fault
        return plan

    def _pacer(self, request: SimRequest, entry: JournalEntry, scripted: Answer | None = None) -> Pacer | None:
        constant = Timing(Wait(self.first_token), Wait(self.pace)) if self.pace or self.first_token else None
        try:
            return self.stage.pacer(request, entry.model or "", (self.seed, entry.number), constant, scripted)
        except ValueError as error:
            raise ValidationError(f"x-sim-timing: {error}", status_code=400, rejected_by="provider") from None

    def _scripted_failure(self, answer: Answer, entry: JournalEntry, pacer: Pacer | None) -> Plan:
        """At once, unless the answer has a timing of its own."""
        if answer.error is not None:
            plan = self._refuse(content.failure(answer.error, answer.status), entry)
        else:
            plan = whole(answer.status or 500, {"content-type": "text/plain"}, (answer.text or "").encode())
        plan.headers = plan.headers | {name.lower(): value for name, value in answer.headers.items()}
        plan.delay = pacer.tokens(1) if pacer is not None and answer.timing is not None else 0.0
        return plan

    def _recorded(self, request: SimRequest, entry: JournalEntry) -> Plan:
        plan = self.stage.recorded(request, self._pacer(request, entry))
        if plan is None:
            raise refusals.no_recording(request)
        return plan

    def _models(self, route: Route, entry: JournalEntry) -> Plan:
        if route.model is None:
            body = models.listing(route.dialect, speech.CREATED, route.style)
        elif models.known(route.dialect, route.model):
            body = models.describe(route.dialect, route.model, speech.CREATED)
        else:
            raise refusals.unknown_model(route.dialect, route.model)
        return whole(200, _JSON | speech.ids(entry), shape.encode(body))

    def _refuse(self, error: LLMError, entry: JournalEntry) -> Plan:
        """The error in the provider's own shape."""
        error.request_id = entry.request_id
        wire = dialects.get(entry.dialect or "openai_chat").encode_error(error)
        return whole(wire.status, wire.headers | speech.ids(entry), wire.body)
