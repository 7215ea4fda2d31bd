"""Server side: how the API says that it cannot read a request (HTTP 400 with message, param and code).

The texts, params and codes are those of api.openai.com, the spelling included: clients look for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ...errors import ValidationError

_ROLES = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'"
_SUPPORTED = {
    "role": _ROLES,
    "tool_choice": "'none', 'auto', and 'required'",
    "response_format.type": "'json_object', 'json_schema', and 'text'",
    "type": "'function'",
}
"""The values of a closed set, by the end of the param."""

_KINDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a decimal",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}


class InvalidRequestError(ValidationError):
    """A request that the API refuses; `param` is the place in the body, as the API writes it."""

    def __init__(self, message: str, *, param: str | None = None, **facts: Any) -> None:
        super().__init__(message, **{"status_code": 400, "rejected_by": "provider", **facts})
        self.param = param


def missing(param: str) -> InvalidRequestError:
    if param == "model":
        return InvalidRequestError("you must provide a model parameter")
    return InvalidRequestError(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def empty_array(param: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        param=param,
        code="empty_array",
    )


def null_content(position: int) -> InvalidRequestError:
    return InvalidRequestError(
        "Invalid value for 'content': expected a string, got null.", param=f"messages.[{position}].content"
    )


def translated(problem: str, body: Any) -> InvalidRequestError:
    """The API's words for what msgspec found wrong with `body`."""
    what, found, where = problem.rpartition(" - at `$")
    what, param = (what, where.rstrip("`").lstrip(".")) if found else (problem, "")
    for pattern, translate in _TRANSLATIONS:
        match = pattern.fullmatch(what)
        if match:
            return translate(param, body, *match.groups())
    return InvalidRequestError(f"Invalid '{param}': {what}.", param=param or None, code="invalid_value")


def _missing(param: str, body: Any, field: str) -> InvalidRequestError:
    return missing(f"{param}.{field}" if param else field)


def _invalid_value(param: str, body: Any, value: str) -> InvalidRequestError:
    block = re.fullmatch(r"(messages\[\d+\])\.content\[\d+\]\.type", param)
    if block:
        return InvalidRequestError(
            f"Invalid '{block[1]}'. Content blocks are expected to be either text or image_url type.",
            param=block[1],
            code="invalid_value",
        )
    if value == "function" and param.endswith("role"):  # the form before tools, which newer models refuse too
        return InvalidRequestError(
            f"Unsupported value: '{param}' does not support 'function' with this model.",
            param=param,
            code="unsupported_value",
        )
    supported = next((values for end, values in _SUPPORTED.items() if param.endswith(end)), "the documented ones")
    return InvalidRequestError(
        f"Invalid value: '{value}'. Supported values are: {supported}.", param=param, code="invalid_value"
    )


def _invalid_type(param: str, body: Any, expected: str, got: str) -> InvalidRequestError:
    content = re.fullmatch(r"messages\[(\d+)\]\.content", param)
    if content and got == "null":
        return null_content(int(content[1]))
    items = "strings" if param == "stop" else "objects"
    kinds = [_KINDS.get(kind, kind) for kind in expected.split(" | ") if kind != "null"]
    kinds = [f"{kind} of {items}" if kind == "an array" else kind for kind in kinds]
    wanted = (
        kinds[0] if len(kinds) == 1 else "one of " + " or ".join([kinds[0], *(k.split(" ", 1)[1] for k in kinds[1:])])
    )
    return InvalidRequestError(
        f"Invalid type for '{param}': expected {wanted}, but got {_KINDS.get(got, got)} instead.",
        param=param or None,
        code="invalid_type",
    )


def _out_of_range(param: str, body: Any, kind: str, comparison: str, limit: str) -> InvalidRequestError:
    name = {"int": "integer", "float": "decimal"}[kind]
    side, code = ("below minimum", "below_min") if comparison == ">=" else ("above maximum", "above_max")
    return InvalidRequestError(
        f"Invalid '{param}': {name} {side} value. Expected a value {comparison} {float(limit):g}, "
        f"but got {body[param]} instead.",
        param=param,
        code=f"{name}_{code}_value",
    )


def _empty_array(param: str, body: Any) -> InvalidRequestError:
    return empty_array(param)


def _empty_text(param: str, body: Any) -> InvalidRequestError:
    return missing(param)


def _too_long(param: str, body: Any, limit: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Invalid '{param}': array too long. Expected an array with maximum length {limit}, "
        f"but got an array with length {len(body[param])} instead.",
        param=param,
        code="array_above_max_length",
    )


_TRANSLATIONS: tuple[tuple[re.Pattern[str], Callable[..., InvalidRequestError]], ...] = (
    (re.compile(r"Object missing required field `(\w+)`"), _missing),
    (re.compile(r"Invalid (?:enum )?value '?(.*?)'?", re.DOTALL), _invalid_value),
    (re.compile(r"Expected `(int|float)` (>=|<=) (\S+)"), _out_of_range),
    (re.compile(r"Expected `array` of length >= 1"), _empty_array),
    (re.compile(r"Expected `str` of length >= 1"), _empty_text),
    (re.compile(r"Expected `array` of length <= (\d+)"), _too_long),
    (re.compile(r"Expected `(.+)`, got `(\w+)`"), _invalid_type),
)
"""What msgspec says -> what the API says."""
