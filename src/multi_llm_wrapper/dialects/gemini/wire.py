"""Server side: reading a request body as Google's servers do (JSON of protocol buffers).

Names may be written in camelCase or snake_case; an unknown one is an error that says where it stands.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from ...errors import LLMError, ValidationError
from .. import shape

_SETTINGS = (
    "responseMimeType responseJsonSchema responseSchema responseFormat thinkingConfig maxOutputTokens temperature topP "
    "topK stopSequences seed candidateCount presencePenalty frequencyPenalty responseLogprobs logprobs "
    "responseModalities mediaResolution speechConfig imageConfig audioTimestamp routingConfig modelSelectionConfig "
    "enableEnhancedCivicAnswers enableAffectiveDialog translationConfig audioTranscriptionConfig"
)
_PART = (
    "text thought thoughtSignature functionCall functionResponse inlineData fileData executableCode "
    "codeExecutionResult toolCall toolResponse videoMetadata mediaResolution partMetadata audioTranscription "
    "mediaProcessing speechMetadata documentMetadata spreadsheetMetadata audioMetadata"
)
FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "request": "contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent labels "
        "modelArmorConfig model serviceTier store",
        "content": "role parts",
        "part": _PART,
        "inlineData": "mimeType data displayName",
        "fileData": "mimeType fileUri displayName",
        "functionCall": "id name args partialArgs willContinue",
        "functionResponse": "id name response parts willContinue scheduling",
        "tool": "functionDeclarations googleSearch googleSearchRetrieval codeExecution urlContext fileSearch "
        "googleMaps computerUse mcpServers enterpriseWebSearch retrieval parallelAiSearch exaAiSearch",
        "declaration": "name description parameters parametersJsonSchema response responseJsonSchema behavior",
        "toolConfig": "functionCallingConfig retrievalConfig includeServerSideToolInvocations",
        "functionCallingConfig": "mode allowedFunctionNames streamFunctionCallArguments",
        "generationConfig": _SETTINGS,
        "thinkingConfig": "includeThoughts thinkingBudget thinkingLevel",
    }.items()
}
"""Field names by message: those of the public API and of Vertex, as google-genai 3.4 knows them."""

_TYPES: dict[str, tuple[type, ...]] = {
    "TYPE_STRING": (str,),
    "TYPE_INT32": (int,),
    "TYPE_FLOAT": (int, float),
    "TYPE_BOOL": (bool,),
}


def read_body(body: bytes) -> dict[str, Any]:
    """Raises the 400 of the real API for what is not a JSON object."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        invalid(f"Invalid JSON payload received. Expected a value.\n{shape.excerpt(body)}\n^")
    if type(value) is not dict:
        invalid('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    return value


def message(value: Any, kind: str, where: str) -> dict[str, Any]:
    """The fields of a message under their camelCase names; nulls are absent fields."""
    if value is None:
        return {}
    if type(value) is not dict:
        wrong_type(where, kind, value)
    found: dict[str, Any] = {}
    for name, item in value.items():
        field = camel(name)
        if field not in FIELDS[kind]:
            place = f" at '{where}'" if where else ""
            invalid(f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.')
        if item is not None:
            found[field] = item
    return found


def items(value: Any, where: str) -> list[Any]:
    """A repeated field; one item may stand without its list."""
    if value is None:
        return []
    return value if type(value) is list else [value]


def scalar(value: Any, kind: str, where: str) -> Any:
    """A value of one of `_TYPES`, or None."""
    if value is None:
        return None
    if (type(value) is bool) != (kind == "TYPE_BOOL") or not isinstance(value, _TYPES[kind]):
        wrong_type(where, kind, value)
    return value


def string(value: Any, where: str) -> str:
    return scalar(value, "TYPE_STRING", where) or ""


def struct(value: Any, where: str) -> dict[str, Any]:
    """A free JSON object (`google.protobuf.Struct`, a schema)."""
    if value is None:
        return {}
    if type(value) is not dict:
        wrong_type(where, "type.googleapis.com/google.protobuf.Struct", value)
    return value


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def wrong_type(where: str, kind: str, value: Any) -> NoReturn:
    invalid(f"Invalid value at '{where}' ({kind}), {shape.excerpt(shape.encode(value))}")


def invalid(text: str, error: type[LLMError] = ValidationError, status: int = 400) -> NoReturn:
    """What the real API answers: 400 INVALID_ARGUMENT, or another class and status."""
    raise error(text, status_code=status, code="INVALID_ARGUMENT" if status == 400 else None, rejected_by="provider")
