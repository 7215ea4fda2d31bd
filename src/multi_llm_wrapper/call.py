"""One call of the user, from its options to its response: which routes, what bytes, how many attempts.

`Call.answer()` is the whole of `query()`. A stream (`stream.ResponseStream`) goes the same way with pieces in place of
one reply; what the two share is here.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from . import attempt, foreign, response
from .account import Account, Attempt
from .caching import Entry, Question, Shared
from .encoding import encode
from .errors import GeneralError, IncompleteStreamError, LLMError
from .legs import Leg, Legs
from .metering.record import NO_TAGS
from .options import Options, Prompt, build_request, check_call
from .parsed import parse
from .policies.budget import Budget
from .response import Facts, Response
from .routing import Target
from .transport.base import HTTPRequest
from .types import ChatRequest, RateLimit, Reply

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
        self.account = Account(wrapper.prices, wrapper.config.default_model if model is None else model, stream)
        self.answered: attempt.Answer | None = None
        self.given_up: Response | None = None
        """What became of a stream that its caller closed, when it has been."""
        self._named: tuple[Target, ...] | None = None  # where the model that the caller named is asked
        self._prompt = prompt
        self._asked_model = model
        self._stream = stream
        self._failures: dict[int, LLMError] = {}  # route -> how it failed
        self._under_way: list[Leg] = []
        self._over = False
        self._closings = wrapper.closings
        self._aside = 0.0  # seconds that were no part of the call

    @property
    def target(self) -> Target:
        return self.leg.target

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
            self.account.tags = dict(options.get("tags") or NO_TAGS)  # the caller's may change before it is written
        if not self.wrapper.prices.loaded:
            self.wrapper.prices.start()
        try:
            self._named = router.group(self._asked_model, options)
            target = self._named[0]
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
        self._reach(leg)
        self.wrapper.hedges.refill()

    def _take(self, leg: Leg) -> None:
        self.leg = leg
        self.provider, self.model = leg.target.provider, leg.target.model

    def _reach(self, leg: Leg) -> None:
        """This route has its turn; what is kept for the untried ones is theirs."""
        self.legs.asked(leg)
        self.budget.routes(len(self.legs.untried), len(self.legs.refused))

    # --- what the cache goes by ---------------------------------------------------------------------------------

    def questions(self) -> list[Question]:
        """What is asked of the model that the caller named, the same whether it is streamed or not. Deployments behind
        one name share their answers: whichever gives it, nothing that any of them would be asked is left out."""
        leg, named = self.leg, self._named
        found = []
        if named is not None and (leg.position or len(named) > 1):
            group = (self._asked_model or self.wrapper.config.default_model) if len(named) > 1 else None
            for target in named:
                with suppress(LLMError):  # one that has no words for it is not asked
                    found.append(self._question(target, None, group))
        return found or [self._question(leg.target, None if self._stream else leg.wire)]

    def _question(self, target: Target, wire: HTTPRequest | None, group: str | None = None) -> Question:
        options, config = self.options, self.wrapper.config
        if wire is None:
            drop = options.get("drop_unsupported")
            request = structs.replace(self.request, model=target.model, stream=False)
            wire = encode(request, target, options, drop=config.drop_unsupported if drop is None else drop).wire
        return Question(
            group=group or target.provider,
            dialect=target.dialect.name if target.backend == "native" else f"{target.dialect.name}/{target.backend}",
            url=wire.url,
            model=target.model,
            headers=wire.headers,
            body=wire.body,
            namespace=options.get("cache_namespace") or config.cache_namespace or "",
        )

    def beyond(self) -> bytes:
        """What the routes behind the first would be asked, of which that one may say less; b"" when there is none."""
        return msgspec.json.encode(self.request, enc_hook=repr) if len(self.legs.names) > 1 else b""

    def recalled(self, entry: Entry, age: float) -> Response:
        """The answer that another call had to the same question, `age` seconds ago: a hit, and no request."""
        facts = self._facts(entry.request_id, None, None, entry.raw)
        facts.provider, facts.model, facts.attempts, facts.attempts_detail = entry.provider, entry.model, 0, []
        self._books(facts, "success", entry.reply, cached=True)
        result = self._parsed(response.success(entry.reply, facts))
        result["metadata"].update(cached=True, cache_age=age)
        return result

    # --- attempts -----------------------------------------------------------------------------------------------

    async def answer(self) -> Response:
        """Attempts until there is an answer, or no more attempt would help."""
        try:
            while True:
                try:
                    await self.begin(self.leg)
                    answer = await self._attempt()
                    self.ended(self.leg, None)
                    if not self.wrapper.prices.loaded:
                        self.account.attempts[-1].usage = answer.reply.usage  # it has come, whatever comes now
                        await self.priced()
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
        if leg.target.backend == "litellm":
            from . import litellm_bridge

            return await litellm_bridge.answer(self, leg, deadline)
        wrapper = self.wrapper
        watches = wrapper.watches(self.loop)
        return await attempt.answer(wrapper.transport, leg.target, leg.wire, deadline, self.clock, watches)

    async def begin(self, leg: Leg) -> None:
        """An attempt begins; waits for a place where `max_concurrency` bounds them."""
        gate = leg.target.gate
        if gate is not None:
            await gate.enter(self._tag, self.share())
        if self._over:  # closed by another task in the very turn in which this one goes on
            if gate is not None:
                gate.leave()
            raise asyncio.CancelledError
        self.budget.attempts += 1
        leg.began = self.now()
        leg.under_way = True
        self._under_way.append(leg)
        leg.target.health.begin(leg.began)

    def ended(self, leg: Leg, error: LLMError | None, *, took: float | None = None, now: float | None = None) -> None:
        """An attempt has ended, `now` where that was asked before. `took`: seconds to its answer, where that is not the
        time until now."""
        if now is None:
            now = self.now()
        if leg.under_way:
            leg.under_way = False
            self._under_way.remove(leg)
            if leg.target.gate is not None:
                leg.target.gate.leave()
            if error is GIVEN_UP:
                leg.target.health.dropped()
            else:
                leg.target.health.end(error, now - leg.began if took is None else took, now, leg.began)
            target, given_up = leg.target, error is GIVEN_UP
            usage = None
            if error is not None:
                usage = leg.fold.reply().usage if leg.fold is not None else error.usage
            self.account.attempts.append(
                Attempt(
                    target.provider,
                    target.model,
                    now - leg.began,
                    error,
                    given_up,
                    leg.hedge,
                    usage,
                    began=leg.began - self.started,
                    ended=now - self.started,
                )
            )

    def attempt_deadline(self, *, share: bool = False) -> float:
        """Loop time at which the attempt has to be over; with `share` it leaves time for the routes behind it."""
        deadline, limit = self.budget.deadline, self.target.limits.attempt
        if limit is not None:
            return min(deadline, self.now() + limit)
        return self.share() if share else deadline

    def share(self) -> float:
        """Loop time until which the present route may take, so that each untried one has as much."""
        deadline, untried = self.budget.deadline, self.budget.untried
        return self.now() + (deadline - self.now()) / (1 + untried) if untried else deadline

    def after_failure(self, error: LLMError, *, may_retry: bool = True, restart: bool = False) -> float | None:
        """Seconds to wait before the next attempt, on the route that `leg` is then; None when there is none. With
        `restart` another route is preferred to the one that broke off."""
        leg, now = self.leg, self.now()
        self._failed_with(leg, error)
        asked = leg.under_way
        self.ended(leg, error, now=now)  # the same moment: what it makes us wait ends when that wait does
        if not may_retry or self._closings != self.wrapper.closings:
            return None
        following = self.legs.after(leg, error, self.request, now, spare=self.budget.spare)
        self.budget.routes(len(self.legs.untried), len(self.legs.refused))
        stay = following is None or self._stays(leg, following, error, now, restart)
        step = self.budget.after(error, now, another=following is not None, stay=stay)
        if step is None:
            return None
        if step.move and following is not None:
            self._reach(following)
            self._take(following)
        else:
            self._take(self.legs.again(leg, self.request, now))
            if self.target.health is not leg.target.health and self.target.health.available(now):
                step = step._replace(wait=min(step.wait, self.budget.backoff()))  # the wait was for the other one
        if asked:
            self.account.attempts[-1].wait = step.wait
        return step.wait

    def _stays(self, leg: Leg, following: Leg, error: LLMError, now: float, restart: bool) -> bool:
        """Whether its own route may be asked again, rather than `following`: not when another deployment of it answers
        at once, nor when it is out for longer than it asked to wait."""
        if restart or following.position == leg.position:
            return False
        return self.legs.up(leg, now, error.retry_after or 0.0)

    def _failed_with(self, leg: Leg, error: LLMError) -> None:
        error.provider, error.model = leg.target.provider, leg.target.model
        error.message = self._without_key(error.message, leg.target)
        self._failures[leg.position] = error

    def hedge(self) -> Leg | None:
        """The next route, to be asked beside a first one that is late; None when there is none or hedges are spent."""
        leg = self.legs.beside(self.request, self.now())
        if leg is None or not self.wrapper.hedges.take():
            return None
        leg.hedge = True
        self._reach(leg)
        return leg

    def won(self, leg: Leg) -> None:
        """A hedge was the first to deliver."""
        self.wrapper.hedges.won += 1
        self._take(leg)

    def lost(self, leg: Leg, error: LLMError, other: Leg) -> None:
        """One of two routes has failed: the other one is what the call waits for now."""
        self._failed_with(leg, error)
        self.ended(leg, error)
        self._take(other)

    @property
    def restarts(self) -> bool:
        """Whether a stream that broke off after content starts afresh."""
        return (self.options.get("on_interrupt") or self.wrapper.config.on_interrupt) == "restart"

    @property
    def hedge_after(self) -> float | None:
        """Seconds after which a first token is late; None when no second route is asked for that."""
        if not self.legs.untried or not self._stream or self.completion is not None:
            return None
        wanted = self.options.get("hedge_after", self.wrapper.config.hedge_after)  # None in the options counts
        if wanted == "auto":
            return HEDGE_REASONING if self.request.reasoning_effort or _thinks(self.target) else HEDGE
        return wanted

    @property
    def _tag(self) -> str:
        return "&".join(f"{name}={value}" for name, value in sorted(self.account.tags.items()))

    @staticmethod
    def _without_key(message: str, target: Target) -> str:
        """Whatever a provider or a foreign client says, it does not repeat the key through us; not its beginning
        either, where a quotation was cut."""
        key = target.key
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
        self.answered = attempt.Answer(reply, request_id, rate_limit, raw or b"")
        facts = self._facts(request_id, rate_limit, first_token, raw)
        self._books(facts, "success", reply)
        return self._parsed(response.success(reply, facts))

    def _parsed(self, result: Response) -> Response:
        wanted = self.options.get("response_format")
        if wanted is not None:
            result._parsed = parse(wanted, result["content"])
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
        facts = self._facts(request_id, rate_limit, first_token, raw)
        if self._failures and not _says_something(partial):
            error = self._of_all(error)
            if error.provider != facts.provider or error.model != facts.model:
                facts.provider, facts.model, facts.request_id = error.provider, error.model, None
        self._books(facts, "error", partial, error)
        return response.failure(error, facts, partial)

    def _of_all(self, last: LLMError) -> LLMError:
        """The failure of the first route, which names the others; those that could not be asked are among them."""
        failures = {**self.legs.refused, **self._failures}
        if len(failures) < 2:
            return last
        first, *others = (failures[position] for position in sorted(failures))
        said = "; ".join(f"{error.provider}/{error.model}: {error.error_type}" for error in others)
        first.message = f"{first.message} Other routes failed too ({said})."
        return first

    def _books(
        self, facts: Facts, status: str, reply: Reply | None, error: LLMError | None = None, *, cached: bool = False
    ) -> None:
        """The call has ended so: its cost goes into `facts`, and all of it to the totals and the ledger. Once: who
        comes later, when its caller leaves what has ended, finds it booked."""
        if self.account.closed:
            return
        try:
            self.wrapper.record(self.account.close(facts, status, reply, error, cached=cached))
        except Exception as mistake:  # of ours, which is no reason to lose the answer
            unexpected(mistake)

    async def priced(self) -> None:
        """Waits for the price list, once in a program; that is no part of the call's time."""
        prices = self.wrapper.prices
        if not prices.loaded:
            began = self.now()
            await prices.ready()
            self._aside += self.now() - began

    def _facts(
        self, request_id: str | None, rate_limit: RateLimit | None, first_token: float | None, raw: bytes | None
    ) -> Facts:
        keep = self.options.get("keep_raw")
        return Facts(
            self.provider,
            self.model,
            self.clock.time(),
            self.now() - self.started - self._aside,
            first_token,
            len(self.account.attempts),
            request_id,
            rate_limit,
            self.dropped,
            self.account.details(),
            raw.decode("utf-8", "replace") if keep and raw is not None else None,
        )

    def abandoned(self, error: LLMError, partial: Reply | None, first_token: float | None) -> Response:
        """The caller closed the stream."""
        self.given_up = response.failure(error, self.cancelled(partial, first_token), partial)
        return self.given_up

    def left(self, error: LLMError, partial: Reply | None, first_token: float | None, work: Shared | None) -> Response:
        """The caller closed a stream that may be read for others too; `work` as in `gone`."""
        facts = self.gone(work, first_token)
        facts.attempts = self.budget.attempts  # of which the last may be under way still
        return response.failure(error, facts, partial)

    def gone(self, work: Shared | None, first_token: float | None = None) -> Facts:
        """The caller gave up. `work` is what is being done for this call, which is counted as that ends if it comes to
        ask a provider; nothing was sent for one that waited for another call's (None)."""
        facts = self._facts(None, None, first_token, None)
        if work is None:
            self._books(facts, "abandoned", None)
        else:
            work.then(lambda: self._books(facts, "abandoned", None))
        return facts

    def echoed(self, answer: Response) -> Response:
        """The failure of a request that was made for another call: nothing was sent for this one."""
        facts = self._facts(None, None, None, None)
        facts.provider, facts.model = answer["provider"], answer["model"]
        self._books(facts, "error", None, answer.exception())
        answer["timestamp"] = facts.timestamp
        answer["metadata"].update(
            response_time=facts.response_time,
            attempts=0,
            attempts_detail=[],
            cost_usd=None,
            dropped_params=facts.dropped_params,
            rate_limit=None,
        )
        return answer

    def cancelled(self, partial: Reply | None = None, first_token: float | None = None) -> Facts:
        """The caller gave up: counted with what was reported, and no error of the provider's."""
        self._over = True
        for leg in list(self._under_way):
            self.ended(leg, GIVEN_UP)
        facts = self._facts(None, None, first_token, None)
        self._books(facts, "abandoned", partial)
        return facts

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
    profile = target.profile
    return "temperature" in profile.refuses or (target.dialect.name == "gemini" and profile.reasoning != "none")


__all__ = ["Call", "unexpected"]
