"""`multi-llm sim`: the simulator as a server of its own, for clients in any language."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .exits import BAD_INPUT, Problem

if TYPE_CHECKING:
    from ..simulator import Brain, SimulatorServer

PORT = 8700
VARIABLES = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "gemini": "GEMINI_BASE_URL",
    "groq": "GROQ_BASE_URL",
}
_MILLISECONDS = click.FloatRange(min=0)
_COUNT = click.IntRange(min=1)
_FILE = click.Path(path_type=Path)


@click.command("sim", short_help="Serve simulated providers over HTTP.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--seed", type=int, default=0, metavar="N", help="Another number, other answers.")
@click.option("--pace", type=_MILLISECONDS, default=0.0, metavar="MS", help="Milliseconds that each token takes.")
@click.option("--first-token", type=_MILLISECONDS, default=0.0, metavar="MS", help="Milliseconds before the first.")
@click.option("--timing", metavar="TIMING", help="A preset, or `first=300/900 gap=20/60` (ms, median/p99).")
@click.option("--mode", type=click.Choice(("prose", "echo", "lorem")), default="prose", help="What is said.")
@click.option("--scenario", type=_FILE, metavar="FILE", help="Scripted answers and settings, TOML or JSON.")
@click.option("--replay", type=_FILE, metavar="FILE", help="Recorded exchanges to serve again (JSON lines).")
@click.option("--rpm", type=_COUNT, metavar="N", help="Requests a minute that each key may send.")
@click.option("--tpm", type=_COUNT, metavar="N", help="Tokens a minute that each key may use.")
@click.option("--windows", is_flag=True, help="Refuse what is longer than the model's context window.")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, metavar="N", help="Processes, each with its own journal."
)
def command(port: int, host: str, workers: int, **options: Any) -> None:
    """Serve simulated providers until interrupted: OpenAI, Anthropic and Gemini on one port, over HTTP."""
    brain = _brain(**options)
    if workers == 1:
        asyncio.run(_serve(brain, host, port))
        return
    from . import workers as others

    try:
        with others.reserved(host, port) as taken, others.running(workers - 1, brain, host, taken):
            asyncio.run(_serve(brain, host, taken, shared=True))
    except OSError as error:
        raise Problem(_refused(host, port, error), BAD_INPUT) from None


def _brain(
    seed: int,
    pace: float,
    first_token: float,
    timing: str | None,
    mode: Any,
    scenario: Path | None,
    replay: Path | None,
    rpm: int | None,
    tpm: int | None,
    windows: bool,
) -> Brain:
    from ..simulator import Brain, Limits, Timing

    try:
        return Brain(
            seed=seed,
            pace=pace / 1000,
            first_token=first_token / 1000,
            timing=None if timing is None else Timing.of(timing),
            mode=mode,
            limits=Limits(requests_per_minute=rpm, tokens_per_minute=tpm) if rpm or tpm else None,
            context_windows=windows,
            scenario=scenario,
            recordings=replay,
        )
    except ValueError as error:  # a ScenarioError is one; both say what to do
        raise Problem(str(error).rstrip("."), BAD_INPUT) from None


async def _serve(brain: Brain, host: str, port: int, *, shared: bool = False) -> None:
    from ..simulator import SimulatorServer
    from . import terminal

    ended = on_signal()
    server = SimulatorServer(brain)
    try:
        await server.start(host, port, shared=shared)
    except OSError as error:
        raise Problem(_refused(host, port, error), BAD_INPUT) from None
    async with server:
        if not _is_loopback(host):
            terminal.tell(
                f"Warning: all who reach {host} can use this simulator; leave --host out to keep it to yourself."
            )
        terminal.write(_welcome(server))
        await ended.wait()


def on_signal() -> asyncio.Event:
    """Set by Ctrl-C and SIGTERM, which are how a server ends; no failure."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, RuntimeError):  # Windows; not the main thread
            loop.add_signal_handler(number, ended.set)
    return ended


def _welcome(server: SimulatorServer) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host)  # noqa: S104  # what cannot be connected to
    origin = server.url if host is None else f"http://{host}:{server.port}"
    urls = {name: server.brain.base_url(origin, name) for name in VARIABLES}
    lines = [f"  {name:10} {VARIABLES[name]}={url}" for name, url in urls.items()]
    return "\n".join(
        (
            f"Simulated providers at {origin}; any key will do.",
            "",
            *lines,
            "",
            f"  to watch it: {origin}/_sim/",
            "",
            "In another terminal:",
            "",
            f"  export OPENAI_BASE_URL={urls['openai']} OPENAI_API_KEY=any",
            '  multi-llm ask "Why is the sky blue?" -m gpt-4o-mini',
            "",
            "Ctrl-C ends it.",
            "",
        )
    )


def _refused(host: str, port: int, error: OSError) -> str:
    reason = (error.strerror or str(error)).split(": ")[-1]
    return f"cannot listen on {host}, port {port} ({reason}); choose another --port (0 takes a free one) or --host"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
