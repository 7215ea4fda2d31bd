"""The loop of `chat`: reads lines, asks, obeys commands."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ..errors import LLMError
from . import report, run, terminal
from .conversation import Conversation, Turn
from .exits import BAD_INPUT, Problem, exit_status
from .lanes import Lane, follow
from .view import Answer
from .wrap import one_line

if TYPE_CHECKING:
    from ..stream import ResponseStream
    from ..wrapper import LLMWrapper

PROMPT = "> "


class Session:
    """One event loop for the whole conversation, which runs only while an answer comes: at the prompt Ctrl-C is the
    user's wish to leave, during an answer it stops the answer."""

    def __init__(
        self,
        wrapper: LLMWrapper,
        model: str,
        system: str | None,
        settings: dict[str, Any],
        *,
        base_url: str | None = None,
        verbose: bool = False,
    ) -> None:
        self._wrapper = wrapper
        self._model = model
        self._settings = settings
        self._base_url = base_url
        self._verbose = verbose
        self._talk = Conversation(system)
        self._runner = asyncio.Runner()
        self._status = 0
        self._saved: set[Path] = set()
        self._person = terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._wrapper.aclose())
        self._runner.close()

    def run(self) -> int:
        """Until the end of input or `/quit`. The exit status is that of the last answer when lines are piped in."""
        if self._person:
            with suppress(ImportError):
                import readline  # noqa: F401  # line editing and history for input()
            terminal.write(f"Chat with {one_line(self._model)}. /help lists the commands, Ctrl-D ends it.\n\n")
        while (line := self._read()) is not None:
            if not line.startswith("/"):
                self._answer(self._talk.ask(line.strip()))
            elif not self._obey(line.rstrip()):
                break
            if self._person:
                terminal.write("\n")
        return 0 if self._person else self._status

    def _read(self) -> str | None:
        """The next line that is not empty; None at the end, or when Ctrl-C was pressed at the prompt."""
        while True:
            try:
                line = input(PROMPT) if self._person else sys.stdin.readline()
            except (EOFError, KeyboardInterrupt) as reason:
                if not self._person and isinstance(reason, KeyboardInterrupt):
                    raise
                terminal.write("\n")
                return None
            except UnicodeDecodeError:
                raise Problem("standard input is not text in UTF-8", BAD_INPUT) from None
            if not line and not self._person:
                return None
            if line.strip():
                return line

    # --- answers ------------------------------------------------------------------------------------------------

    def _answer(self, turn: Turn) -> None:
        """Asks for a turn's answer; an earlier one stays when nothing comes."""
        before, turn.answer = turn.answer, None
        # No cache: who asks the same again, by /retry or in words, wants another answer.
        stream = self._wrapper.stream(
            self._talk.messages(), run.at_host(self._model, self._base_url), cache=False, **self._settings
        )
        try:
            with terminal.held_logs(tell_them=self._verbose):
                self._runner.run(_follow(stream, Lane(self._model)))
        except KeyboardInterrupt:
            if not self._person:
                raise
            kept = self._talk.interrupted(turn, stream.response.content)
            terminal.tell("(interrupted; what came of it is kept)" if kept else "(interrupted; /retry asks again)")
        else:
            if stream.response.ok:
                turn.answer = stream.response.to_message()
            self._status = exit_status([stream.response])
            report.say([stream.response], [self._model], errors=True, verbose=self._verbose)
        turn.answer = turn.answer or before

    # --- commands -----------------------------------------------------------------------------------------------

    def _obey(self, line: str) -> bool:
        """Whether the conversation goes on."""
        word, _, rest = line.partition(" ")
        if word in QUIT:
            return False
        command = COMMANDS.get(word)
        if command is None:
            terminal.tell(f"There is no command {one_line(word)}; /help lists them.")
        else:
            command.obey(self, rest.strip())
        return True

    def _change_model(self, name: str) -> None:
        if name:
            try:
                self._wrapper.router.decide(run.at_host(name, self._base_url))
            except LLMError as error:
                terminal.tell(f"Error: {one_line(error.message)}")
                return
            self._model = name
        terminal.tell(f"The model is {one_line(self._model)}.")

    def _change_system(self, text: str) -> None:
        self._talk.system = text or None
        terminal.tell("The system prompt is set." if text else "There is no system prompt now.")

    def _retry(self, _: str) -> None:
        turn = self._talk.last()
        if turn is None:
            terminal.tell("Nothing was asked yet.")
        else:
            self._answer(turn)

    def _save(self, name: str) -> None:
        if not name:
            terminal.tell("Name a file, as in /save talk.json")
            return
        path = Path(name).expanduser()
        messages = self._talk.messages()
        try:
            if path.exists() and path not in self._saved:
                raise FileExistsError(0, "there is such a file already; choose another name")
            path.write_text(terminal.as_json(messages), "utf-8", "replace")
        except (OSError, ValueError) as error:
            terminal.tell(f"Error: {one_line(name)}: {getattr(error, 'strerror', None) or error}")
            return
        self._saved.add(path)
        terminal.tell(f"Saved {len(messages)} messages to {one_line(name)}.")

    def _help(self, _: str) -> None:
        for word, command in COMMANDS.items():
            terminal.tell(f"  {f'{word} {command.argument}':16}{command.help}")
        terminal.tell(f"  {'/quit':16}end; so do Ctrl-D, and Ctrl-C at the prompt")
        terminal.tell("Ctrl-C stops an answer. A line with a blank before its slash is a question.")


class Command(NamedTuple):
    argument: str
    help: str
    obey: Callable[[Session, str], None]


COMMANDS = {
    "/model": Command("[NAME]", "talk to another model from now on, or say which it is", Session._change_model),
    "/system": Command("[TEXT]", "set the system prompt; without a text remove it", Session._change_system),
    "/retry": Command("", "ask the last question again and forget the answer to it", Session._retry),
    "/save": Command("FILE", "write the conversation to a file, as JSON messages", Session._save),
    "/help": Command("", "list these commands", Session._help),
}
QUIT = frozenset(("/quit", "/exit"))


async def _follow(stream: ResponseStream, lane: Lane) -> None:
    async with Answer(lane):
        await follow(stream, lane)
