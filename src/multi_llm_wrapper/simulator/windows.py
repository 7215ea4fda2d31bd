"""How much a model takes and gives: context windows and longest answers, refused in each provider's words."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from ..dialects.openai_chat.rejection import InvalidRequestError
from ..errors import ContextLengthError, LLMError, ValidationError
from ..providers.profiles import profile_of
from .scenario import ModelSettings


class Windows:
    """Off unless `known` (the windows that the client's own model profiles know) or a row for the model."""

    def __init__(self, known: bool = False, rows: Mapping[str, ModelSettings] | None = None) -> None:
        self.known = known
        self._rows = list((rows or {}).items())

    def __bool__(self) -> bool:
        return self.known or bool(self._rows)

    def limits(self, model: str) -> tuple[int | None, int | None]:
        """(context window, longest answer) in tokens; None: not limited."""
        window, output = None, None
        for pattern, row in self._rows:
            if fnmatchcase(model, pattern):
                window = row.context_window if window is None else window
                output = row.max_output if output is None else output
        if window is None and self.known:
            window = profile_of(model).context_window
        return window, output

    def check(self, dialect: str, model: str, prompt: int, max_tokens: int | None) -> int | None:
        """Raises what the provider answers to a prompt of so many tokens, or to a limit that is too high. Returns how
        many tokens the answer may have."""
        window, output = self.limits(model)
        if output is not None and max_tokens is not None and max_tokens > output:
            raise _max_output(dialect, model, max_tokens, output)
        if window is None:
            return output
        if prompt > window or (dialect != "gemini" and prompt + (max_tokens or 0) > window):
            raise _context(dialect, window, prompt, max_tokens)
        room = max(1, window - prompt)
        return room if output is None else min(room, output)


def _context(dialect: str, window: int, prompt: int, max_tokens: int | None) -> LLMError:
    if dialect == "gemini":
        text = f"The input token count ({prompt}) exceeds the maximum number of tokens allowed ({window})."
    elif dialect == "anthropic_messages":
        text = (
            f"prompt is too long: {prompt} tokens > {window} maximum"
            if prompt > window
            else f"input length and `max_tokens` exceed context limit: {prompt} + {max_tokens} > {window}, decrease "
            "input length or `max_tokens` and try again"
        )
    elif prompt > window or not max_tokens:
        text = (
            f"This model's maximum context length is {window} tokens. However, your messages resulted in {prompt} "
            "tokens. Please reduce the length of the messages."
        )
    else:
        text = (
            f"This model's maximum context length is {window} tokens. However, you requested "
            f"{prompt + max_tokens} tokens ({prompt} in the messages, {max_tokens} in the completion). "
            "Please reduce the length of the messages or completion."
        )
    return ContextLengthError(text, status_code=400)


def _max_output(dialect: str, model: str, asked: int, most: int) -> LLMError:
    if dialect == "gemini":
        return ValidationError(
            f"Unable to submit request because it has a maxOutputTokens value of {asked} but the supported range is "
            f"from 1 (inclusive) to {most + 1} (exclusive). Update the value and try again.",
            status_code=400,
        )
    if dialect == "anthropic_messages":
        return ValidationError(
            f"max_tokens: {asked} > {most}, which is the maximum allowed number of output tokens for {model}",
            status_code=400,
        )
    return InvalidRequestError(
        f"max_tokens is too large: {asked}. This model supports at most {most} completion tokens, whereas you provided "
        f"{asked}.",
        param="max_tokens",
        code="invalid_value",
    )
