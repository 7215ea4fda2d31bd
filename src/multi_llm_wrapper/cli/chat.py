"""`multi-llm chat`: a conversation with a model."""

from __future__ import annotations

from typing import Any

import click

from . import exits, options


@click.command("chat", short_help="Talk to a model.", epilog=exits.EXPLAINED)
@click.option("-m", "--model", metavar="MODEL", help="Whom to talk to.")
@options.answer_settings
@options.host
@options.verbose
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    system: str | None,
    base_url: str | None,
    api_key_env: str | None,
    verbose: bool,
    **settings: Any,
) -> None:
    """Talk to a model; what was said before goes with every question.

    Ctrl-C stops an answer, and what came of it stays in the conversation. Ctrl-D ends the program. Questions can be
    piped in, too, one a line.
    """
    from . import run
    from .session import Session

    wrapper = run.open_wrapper(base_url, api_key_env)
    model = model or wrapper.config.default_model
    if not model:
        raise click.UsageError("no model is named; name one, as in -m gpt-4o-mini, or set MULTI_LLM_DEFAULT_MODEL")
    with Session(wrapper, model, system, options.given(**settings), base_url=base_url, verbose=verbose) as session:
        ctx.exit(session.run())
