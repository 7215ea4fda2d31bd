"""One call of the user, from its options to its response: which routes, what bytes, how many attempts.

`Call.answer()` is the whole of `query()`. A stream (`stream.ResponseStream`) goes the same way with pieces in place of
one reply; what the two share is here.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from . import attempt, foreign, response
from .errors import GeneralError, IncompleteStreamError, LLMError
from .legs import Leg, Legs
from .options import Options, Prompt, build_request, check_call
from .parsed import parse
from .policies.budget import Budget
from .response import Facts, Response
from .routing import Limits, Target
from .transport.base import HTTPRequest
from .types import ChatRequest, RateLimit, Reply, Usage

if TYPE_CHECKING:
    from .foreign import Completion
    from .wrapper import LLMWrapper

SHORTEST_KEY = 6
"""Shorter ones are no keys but placeholders, and may be part of any word."""

_log = logging.getLogger("multi_llm_wrapper")


class Call:
    """The state of one logical call. `prepare()` raises `LLMError` for what is refused unsent."""

    legs: Legs
    leg: Leg
    """The route that is asked just now, or answered."""
    request: ChatRequest
    budget: Budget

    def __init__(self, wrapper: LLMWrapper, prompt: Prompt, model: str | None, options: Options, stream: bool) -> None:
        self.wrapper = wrapper
        self.options = options
        self.clock = wrapper.clock
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time  # deadlines and timers are the loop's; asking for it once is cheaper, too
        self.started = self.now()
        self.provider: str | None = None
        self.model: str | None = model if isinstance(model, str) else None
        self.details: list[dict[str, Any]] = []
        self._prompt = prompt
        self._asked_model = model
        self._stream = stream
        self._left_with: LLMError | None = None  # why the first route was left

    @property
    def target(self) -> Target:
        return self.leg.target

    @property
    def wire(self) -> HTTPRequest:
        return self.leg.wire

    @property
    def limits(self) -> Limits:
        return self.leg.target.limits

    @property
    def dropped(self) -> list[str]:
        return self.leg.dropped if self.budgeted else []

    @property
    def answered_by_primary(self) -> bool:
        return self.leg.position == 0

    # --- before -------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        router, options = self.wrapper.router, self.options
        if options:
            check_call(options)
        try:
            target = router.group(self._asked_model, options)[0]
            self.provider, self.model = target.provider, target.model
        except LLMError:  # a fallback may be asked all the same, and the error says who was meant if that is known
            self.provider, self.model = router.named(self._asked_model)
        self.request = build_request(self._prompt, self.model, options, stream=self._stream)
        names = router.routes(self._asked_model, options)
        self.legs = Legs(self.wrapper, names, options)
        leg = self.legs.first(self.request, self.started)
        self._take(leg)
        target = leg.target
        self.budget = Budget(target.max_retries, self.started + target.limits.total, routes=len(names))
        self.budget.moved(leg.position)
        self.wrapper.hedges.refill()

    def _take(self, leg: Leg) -> None:
        self.leg = leg
        self.provider, self.model = leg.target.provider, leg.target.model

    # --- attempts -----------------------------------------------------------------------------------------------

    async def answer(self) -> Response:
        """Attempts until there is an answer, or no more attempt would help."""
        try:
            while True:
                try:
                    await self.begin(self.leg)
                    answer = await self._attempt()
                    self.ended(self.leg, None)
                    return self.succeeded(answer.reply, answer.request_id, answer.rate_limit, raw=answer.raw)
                except LLMError as failure:
                    error = failure
                except Exception as failure:
                    error = unexpected(failure)
                wait = self.after_failure(error)
                if wait is None:
                    return self.failed(error)
                await self.sleep(wait)
        except BaseException:
            self.cancelled()
            raise

    @property
    def completion(self) -> Completion | None:
        """What stands in for an attempt, above dialect and transport."""
        return self.wrapper.completion

    async def _attempt(self) -> attempt.Answer:
        completion, deadline = self.completion, self.attempt_deadline(share=True)
        if completion is not None:
            return await foreign.answer(completion, self, deadline)
        leg = self.leg
        return await attempt.answer(self.wrapper.transport, leg.target, leg.wire, deadline, self.clock, self.loop)

    async def begin(self, leg: Leg) -> None:
        """An attempt begins; waits for a place where `max_concurrency` bounds them."""
        gate = leg.target.gate
        if gate is not None:
            await gate.enter(self._tag, self.budget.deadline)
        self.budget.attempts += 1
        leg.began = self.now()
        leg.under_way = True
        leg.target.health.begin(leg.began)

    def ended(self, leg: Leg, error: LLMError | None, wait: float | None = None, took: float | None = None) -> None:
        """An attempt has ended. `took`: seconds to its answer, where that is not the time until now."""
        now = self.now()
        if leg.under_way:
            leg.under_way = False
            if leg.target.gate is not None:
                leg.target.gate.leave()
            if error is GIVEN_UP:
                leg.target.health.dropped()
            else:
                leg.target.health.end(error, now - leg.began if took is None else took, now)
            self._note(leg, error, now - leg.began, wait)

    def attempt_deadline(self, *, share: bool = False) -> float:
        """Loop time at which the attempt has to be over; with `share` it leaves time for the routes behind it."""
        deadline, limit = self.budget.deadline, self.limits.attempt
        if limit is not None:
            return min(deadline, self.now() + limit)
        if share and self.budget.untried:
            return self.now() + (deadline - self.now()) / (1 + self.budget.untried)
        return deadline

    def after_failure(self, error: LLMError, *, may_retry: bool = True, restart: bool = False) -> float | None:
        """Seconds to wait before the next attempt, on the route that `leg` is then; None when there is none. With
        `restart` another route is preferred to the one that broke off."""
        leg, now = self.leg, self.now()
        error.provider, error.model = leg.target.provider, leg.target.model
        error.message = self._without_key(error.message)
        if not may_retry:
            self.ended(leg, error)
            return None
        following = self.legs.after(leg, error, self.request, now)
        asked = leg.under_way
        self.ended(leg, error)
        stay = following is None or not (restart or not self.legs.up(leg, now))
        step = self.budget.after(error, now, another=following is not None, stay=stay)
        if step is None:
            return None
        if step.move and following is not None:
            self._left_with = self._left_with or error
            self.budget.moved(following.position - leg.position)
            self._take(following)
        else:
            self._take(self.legs.again(leg, self.request, now))
            if self.leg.target is not leg.target and self.leg.target.health.available(now):
                step = step._replace(wait=0.0)
        if asked:
            self.details[-1]["wait"] = step.wait
        return step.wait

    def hedge(self) -> Leg | None:
        """The next route, to be asked beside a first one that is late; None when there is none or hedges are spent."""
        position = self.leg.position + 1
        if position >= len(self.legs) or self.budget.attempts >= self.budget.max_attempts:
            return None
        now = self.now()
        try:
            leg = self.legs.leg(position, self.request, now)
        except LLMError:
            return None
        if not self.wrapper.hedges.take():
            return None
        self.budget.moved()
        return leg

    def won(self, leg: Leg) -> None:
        """A hedge was the first to deliver."""
        self.wrapper.hedges.won += 1
        self._take(leg)

    def follow(self, leg: Leg, error: LLMError) -> None:
        """One of two routes has failed: the other one is what the call waits for now."""
        self._left_with = self._left_with or error
        self._take(leg)

    @property
    def restarts(self) -> bool:
        """Whether a stream that broke off after content starts afresh."""
        return (self.options.get("on_interrupt") or self.wrapper.config.on_interrupt) == "restart"

    @property
    def hedge_after(self) -> float | None:
        """Seconds after which a first token is late; None when no second route is asked for that."""
        if len(self.legs) <= self.leg.position + 1 or not self._stream:
            return None
        wanted = self.options["hedge_after"] if "hedge_after" in self.options else self.wrapper.config.hedge_after
        if wanted == "auto":
            return HEDGE_REASONING if self.request.reasoning_effort or _thinks(self.target) else HEDGE
        return wanted

    @property
    def _tag(self) -> str:
        return "&".join(f"{name}={value}" for name, value in sorted((self.options.get("tags") or {}).items()))

    def _note(self, leg: Leg, error: LLMError | None, duration: float, wait: float | None) -> None:
        self.details.append(
            {
                "provider": leg.target.provider,
                "model": leg.target.model,
                "error_type": error.error_type if error is not None else None,
                "status_code": error.status_code if error is not None else 200,
                "duration": duration,
                "wait": wait,
            }
        )

    def _without_key(self, message: str) -> str:
        """Whatever a provider or a foreign client says, it does not repeat the key through us; not its beginning
        either, where a quotation was cut."""
        key = self.target.key
        secret = key.reveal() if key is not None else ""
        if len(secret) < SHORTEST_KEY or secret[:SHORTEST_KEY] not in message:
            return message
        message = message.replace(secret, "***")
        for length in range(len(secret) - 1, SHORTEST_KEY - 1, -1):
            message = message.replace(f"{secret[:length]}...", "***...")
        return message

    async def sleep(self, seconds: float) -> None:
        if not getattr(self.wrapper.completion, "instant", False):
            await self.clock.sleep(seconds)

    # --- after --------------------------------------------------------------------------------------------------

    def succeeded(
        self,
        reply: Reply,
        request_id: str | None,
        rate_limit: RateLimit | None,
        *,
        first_token: float | None = None,
        raw: bytes | None = None,
    ) -> Response:
        facts = self._facts(request_id, rate_limit, first_token, raw)
        result = response.success(reply, facts)
        wanted = self.options.get("response_format")
        if wanted is not None:
            result._parsed = parse(wanted, reply.content)
        self._count(True, reply.usage, facts.response_time)
        return result

    def failed(
        self,
        error: LLMError,
        partial: Reply | None = None,
        *,
        request_id: str | None = None,
        rate_limit: RateLimit | None = None,
        first_token: float | None = None,
        raw: bytes | None = None,
    ) -> Response:
        """The error response: of several routes that failed, the error of the first, and what the others said."""
        if self._left_with is not None and not _says_something(partial):
            error = self._of_all(error)
        facts = self._facts(request_id, rate_limit, first_token, raw)
        if facts.attempts:
            self._count(False, partial.usage if partial is not None else None, facts.response_time)
        return response.failure(error, facts, partial)

    def _of_all(self, last: LLMError) -> LLMError:
        first = self._left_with
        assert first is not None  # noqa: S101  # asked for only then
        others = [d for d in self.details if (d["provider"], d["model"]) != (first.provider, first.model)]
        said = dict.fromkeys(f"{d['provider']}/{d['model']}: {d['error_type']}" for d in others)
        if said:
            first.message = f"{first.message} Other routes failed too ({'; '.join(said)})."
        return first

    def _count(self, ok: bool, usage: Usage | None, seconds: float) -> None:
        """Once for each provider that was asked: the last as the call ended, the others as failures."""
        counts = self.wrapper.counts
        if ok:
            counts.success(self.provider, usage, seconds)
        else:
            counts.failure(self.provider, usage, seconds)
        if len(self.details) > 1:
            others: dict[str, float] = {}
            for detail in self.details:
                if detail["provider"] != self.provider:
                    others[detail["provider"]] = others.get(detail["provider"], 0.0) + detail["duration"]
            for provider, spent in others.items():
                counts.failure(provider, None, spent)

    def _facts(
        self, request_id: str | None, rate_limit: RateLimit | None, first_token: float | None, raw: bytes | None
    ) -> Facts:
        keep = self.options.get("keep_raw")
        return Facts(
            self.provider,
            self.model,
            self.clock.time(),
            self.now() - self.started,
            first_token,
            len(self.details),
            request_id,
            rate_limit,
            self.dropped,
            self.details,
            raw.decode("utf-8", "replace") if keep and raw is not None else None,
        )

    def abandoned(self, error: LLMError, partial: Reply | None, first_token: float | None) -> Response:
        """The caller closed the stream."""
        self.cancelled(partial)
        return response.failure(error, self._facts(None, None, first_token, None), partial)

    def cancelled(self, partial: Reply | None = None) -> None:
        """The caller gave up: counted with what was reported, and no error of the provider's."""
        self.ended(self.leg, GIVEN_UP)
        if self.details:
            usage = partial.usage if partial is not None else None
            self._count(True, usage, self.now() - self.started)

    @property
    def budgeted(self) -> bool:
        """Whether `prepare()` came to its end, so that there may be attempts."""
        return hasattr(self, "budget")

    @property
    def raises(self) -> bool:
        """Whether the caller wants errors as exceptions."""
        wanted = self.options.get("raise_on_error")
        return self.wrapper.config.raise_on_error if wanted is None else wanted


GIVEN_UP = IncompleteStreamError("The caller gave up before the answer was complete.", code="closed")


def unexpected(error: BaseException) -> GeneralError:
    """A mistake of ours as an error of the call; logged, since the response has no place for a traceback."""
    _log.error("multi_llm_wrapper: unexpected %s", type(error).__name__, exc_info=error)
    return GeneralError(
        f"Something unexpected went wrong ({type(error).__name__}); the log has the traceback. Please report it.",
        code="unexpected",
    )


HEDGE = 10.0
HEDGE_REASONING = 60.0
"""Seconds after which the first token of a stream is late, when `hedge_after` is "auto"."""


def _says_something(partial: Reply | None) -> bool:
    return partial is not None and bool(partial.content or partial.reasoning or partial.tool_calls)


def _thinks(target: Target) -> bool:
    """Whether the model is of a family that reasons before it answers, asked or not."""
    return "temperature" in target.profile.refuses


__all__ = ["Call", "unexpected"]
