"""`multi-llm ask`: one question, one or several models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from . import exits, options

if TYPE_CHECKING:
    from ..response import Response

EXAMPLES = """\b
Examples:
  multi-llm ask "Why is the sky blue?" -m gpt-4o-mini
  git diff | multi-llm ask "Review this" -m claude-sonnet-4-5
  multi-llm ask "What is this?" --image photo.jpg -m gemini-2.5-flash
  multi-llm ask "Say hello" -m gpt-4o-mini -m claude-sonnet-4-5 --compare
"""


@click.command("ask", short_help="Ask one model, or several side by side.", epilog=f"{EXAMPLES}\n{exits.EXPLAINED}")
@click.argument("prompt", required=False)
@click.option("-m", "--model", "models", multiple=True, metavar="MODEL", help="Whom to ask; give several to compare.")
@click.option(
    "-f", "--file", "files", multiple=True, metavar="FILE", help="A text file to add to the prompt; repeatable."
)
@click.option("--image", "images", multiple=True, metavar="FILE|URL", help="A picture to ask about; repeatable.")
@click.option("--schema", metavar="FILE|JSON", help="A JSON schema that the answer has to match.")
@options.answer_settings
@click.option("--compare", is_flag=True, help="Add a table of tokens and times.")
@click.option("--json", "as_json", is_flag=True, help="Print the response as JSON; of several models, a list of them.")
@options.host
@options.verbose
@click.pass_context
def command(
    ctx: click.Context,
    /,
    prompt: str | None,
    models: tuple[str, ...],
    files: tuple[str, ...],
    images: tuple[str, ...],
    schema: str | None,
    compare: bool,
    as_json: bool,
    base_url: str | None,
    api_key_env: str | None,
    verbose: bool,
    **settings: Any,
) -> None:
    """Ask PROMPT and print the answer as it comes.

    PROMPT "-" is read from standard input. What is piped in otherwise is added to PROMPT, and so are files.
    """
    from . import inputs, report, run, terminal, view

    wrapper = run.open_wrapper(base_url, api_key_env)
    labels = models or ((wrapper.config.default_model,) if wrapper.config.default_model else ())
    if not labels:
        raise click.UsageError("no model is named; name one, as in -m gpt-4o-mini, or set MULTI_LLM_DEFAULT_MODEL")
    wanted = options.given(response_format=inputs.schema(schema), **settings)
    question = inputs.prompt(prompt, files, images)
    names = [run.at_host(model, base_url) for model in labels]
    streams = [wrapper.stream(question, name, **wanted) for name in names]
    responses = run.run(view.watch(wrapper, streams, labels, quiet=as_json), verbose=verbose)
    if as_json:
        terminal.write(terminal.as_json(responses[0] if len(responses) == 1 else responses))
    elif compare:
        out = terminal.console(err=len(responses) == 1)  # one answer is alone on standard output
        terminal.show(out, report.comparison(out, responses, labels), apart=out.is_terminal)
    report.say(responses, labels, errors=as_json or len(responses) == 1, verbose=verbose)
    ctx.exit(exits.exit_status(responses) or _mismatch(responses, labels, schema))


def _mismatch(responses: Sequence[Response], labels: Sequence[str], schema: str | None) -> int:
    """The exit status for answers that are no errors, but not what `--schema` asked for."""
    from . import terminal

    if schema is None:
        return 0
    wrong = [n for r, n in zip(responses, labels, strict=True) if r.parsed is None and str(r.content).strip() != "null"]
    for label in wrong:
        terminal.tell(f"Error: {label}: the answer does not match --schema; ask again, or try another model")
    return exits.FAILED if wrong else 0
