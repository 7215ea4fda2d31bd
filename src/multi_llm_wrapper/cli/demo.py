"""`multi-llm demo`: three providers answer the same question at once, side by side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from . import exits, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..response import Response
    from ..simulator import Simulator
    from ..wrapper import LLMWrapper

PROMPT = "Why is the sky blue?"
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}
FIRST_TOKEN = 0.3
"""Seconds before a simulated answer begins, about what the real ones take."""


@click.command("demo", short_help="See three providers answer at once; no key, no network.", epilog=exits.EXPLAINED)
@click.argument("prompt", default="")
@click.option("--live", is_flag=True, help="Ask the real providers, those whose keys are set.")
@click.option("--seed", type=int, default=0, metavar="N", help="Another number, other simulated answers.")
@click.option(
    "--pace", type=click.FloatRange(min=0), default=20.0, metavar="MS", help="Milliseconds a simulated token takes."
)
@options.verbose
@click.pass_context
def command(ctx: click.Context, /, prompt: str, live: bool, seed: int, pace: float, verbose: bool) -> None:
    """Ask an OpenAI-, an Anthropic- and a Gemini-style provider PROMPT at once, and compare them.

    The providers are simulated, on this machine and over HTTP: no key, no network. With --live they are the real ones.
    """
    from . import report

    question = prompt if prompt.strip() else PROMPT
    labels = tuple(MODELS[name] for name in (_with_key() if live else MODELS))
    if not labels:
        raise _nobody()
    responses = _live(question, labels, verbose) if live else _simulated(question, labels, seed, pace / 1000, verbose)
    report.say(responses, labels, errors=False, verbose=verbose)
    ctx.exit(exits.exit_status(responses))


def _simulated(question: str, labels: Sequence[str], seed: int, pace: float, verbose: bool) -> list[Response]:
    from ..simulator import Simulator
    from . import run, terminal

    with Simulator(seed=seed, pace=pace, first_token=FIRST_TOKEN) as simulator:
        terminal.write(f"Three simulated providers at {simulator.url}: no key, no network.\n")
        wrapper = run.open_wrapper(backend="native", **_providers(simulator))
        responses = _compare(wrapper, question, labels, verbose)
    terminal.write("\nNext: multi-llm demo --live (the real ones), multi-llm sim (for your own code).\n")
    return responses


def _providers(simulator: Simulator) -> dict[str, Any]:
    """All at the simulator, whatever keys and URLs are set in the environment."""
    from ..config import PROVIDER_CONFIGS

    return {name: PROVIDER_CONFIGS[name](api_key="demo", base_url=simulator.base_url(name)) for name in MODELS}


def _live(question: str, labels: Sequence[str], verbose: bool) -> list[Response]:
    from . import run, terminal

    for name, variables in _without_key().items():
        terminal.write(f"Skipped {name}: {variables} is not set.\n")
    return _compare(run.open_wrapper(), question, labels, verbose)


def _compare(wrapper: LLMWrapper, question: str, labels: Sequence[str], verbose: bool) -> list[Response]:
    from . import report, run, terminal, view
    from .wrap import one_line

    terminal.write(f"Prompt: {one_line(question)}\n\n")
    streams = [wrapper.stream(question, label) for label in labels]
    responses = run.run(view.watch(wrapper, streams, labels), verbose=verbose)
    out = terminal.console()
    terminal.show(out, report.comparison(out, responses, labels), apart=out.is_terminal)
    return responses


def _with_key() -> list[str]:
    from ..providers import ROWS

    return [name for name in MODELS if any(os.environ.get(variable) for variable in ROWS[name].key_env)]


def _without_key() -> dict[str, str]:
    from ..providers import ROWS

    there = _with_key()
    return {name: " or ".join(ROWS[name].key_env) for name in MODELS if name not in there}


def _nobody() -> exits.Problem:
    wanted = ", ".join(variables.replace(" or ", "/") for variables in _without_key().values())
    return exits.Problem(
        f"no key is set, so nobody can be asked; set one of {wanted}, or leave --live out", exits.NO_ACCESS
    )
