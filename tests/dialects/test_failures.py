"""Every provider's failures get the right class: the rows of the status table, hostile bodies, and what is recorded."""

from __future__ import annotations

import json
import pickle
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multi_llm_wrapper.dialects.failures import classify, in_band
from multi_llm_wrapper.dialects.failures.codes import NOMINAL
from multi_llm_wrapper.dialects.failures.texts import TEXT
from multi_llm_wrapper.dialects.failures.wording import LIMIT, REMEDY
from multi_llm_wrapper.errors import CLASSES, LLMError
from tests.dialects.failure_rows import (
    HTML_404,
    IN_BAND,
    RETRY_INFO,
    ROWS,
    Row,
    anthropic,
    google,
    openai,
    openrouter,
    sent,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_status_table(row: Row) -> None:
    """Each row of the status table has its class, its code, and the wait that the provider asked for."""
    error = classify(row.status, row.headers, sent(row.body))

    assert row.error_type == error.error_type
    assert row.code == error.code
    assert row.retry_after == error.retry_after
    assert row.status == error.status_code
    assert ("provider" if 300 <= row.status < 500 else None) == error.rejected_by
    assert str(error).endswith(".")


BY_STATUS = {
    "auth_error": [401, 407],
    "quota_exceeded": [402],
    "permission_error": [403, 451],
    "timeout": [408, 504, 522, 524],
    "request_too_large": [413, 414, 431],
    "rate_limit": [429],
    "overloaded": [498, 503, 529],
    "cancelled": [499],
    "unsupported_feature": [501],
    "server_error": [409, 424, 500, 502, 505, 520, 521, 523, 530, 599, 999],
    "validation_error": [300, 301, 302, 303, 307, 308, 400, 404, 405, 406, 410, 411, 415, 418, 422, 428, 434],
    "malformed_response": [100, 200, 204, 0, -1],
}


@pytest.mark.parametrize(("error_type", "status"), [(kind, s) for kind, each in BY_STATUS.items() for s in each])
def test_status_alone(error_type: str, status: int) -> None:
    """Without a word from the provider the status decides."""
    assert error_type == classify(status, {}, b"").error_type


BY_CODE = {
    ("quota_exceeded", 400): "arrearage",
    ("rate_limit", 400): "ThrottlingException",
    ("overloaded", 429): "engine_overloaded_error",
    ("auth_error", 403): "UnrecognizedClientException MissingAuthenticationTokenException InvalidClientTokenId",
    ("auth_error", 400): "IncompleteSignature",
    ("context_length_exceeded", 400): "exceed_context_size_error model_context_window_exceeded",
    ("request_too_large", 400): "string_too_long",
    ("content_filter", 400): "ResponsibleAIPolicyViolation moderation_blocked data_inspection_failed refusal",
    ("model_not_found", 400): "1211 model-not-available",
}


@pytest.mark.parametrize(
    ("error_type", "status", "code"), [(*key, code) for key, codes in BY_CODE.items() for code in codes.split()]
)
def test_code_refines_status(error_type: str, status: int, code: str) -> None:
    """A code that says more than its status decides, wherever the host puts it."""
    shapes: list[Any] = [
        openai("x", code=code),
        openai("x", code, None),
        {"message": "x", "code": code},
        {"error": {"message": "x", "innererror": {"code": code}}},
        {"error": {"message": "x", "details": [{"reason": code}]}},
    ]
    for shape in shapes:
        error = classify(status, {}, sent(shape))

        assert (error_type, code) == (error.error_type, error.code)


BY_NAME = {
    "validation_error": "invalid_request_error INVALID_ARGUMENT OUT_OF_RANGE invalid_prompt invalid_value "
    "invalid_image invalid_image_format invalid_base64_image invalid_image_url "
    "image_too_large image_too_small image_parse_error invalid_image_mode "
    "image_file_too_large unsupported_image_media_type empty_image_file "
    "failed_to_download_image image_file_not_found invalid_request max_tokens_exceeded "
    "token_limit_exceeded unsupported_image_format image_not_found image_download_failed "
    "precondition_failed unprocessable tool_use_failed json_validate_failed BadRequestError "
    "NotFoundError validation validationException not_found_error NOT_FOUND",
    "auth_error": "authentication_error UNAUTHENTICATED invalid_api_key authentication expiredTokenException "
    "invalidSignatureException unrecognizedClientException",
    "permission_error": "permission_error PERMISSION_DENIED FAILED_PRECONDITION accessDeniedException",
    "quota_exceeded": "billing_error insufficient_quota payment_required",
    "rate_limit": "rate_limit_error RESOURCE_EXHAUSTED rate_limit_exceeded slow_down requests tokens rate_limited "
    "throttlingException modelNotReadyException serviceQuotaExceededException openrouter_in_flight_budget",
    "overloaded": "overloaded_error UNAVAILABLE service_unavailable_error server_is_overloaded provider_overloaded "
    "capacity_exceeded overloaded serviceUnavailableException MODEL_CAPACITY_EXHAUSTED",
    "timeout": "timeout_error DEADLINE_EXCEEDED vector_store_timeout timeout modelTimeoutException",
    "server_error": "api_error conflict_error ALREADY_EXISTS ABORTED UNKNOWN INTERNAL DATA_LOSS server_error server "
    "unmapped provider_unavailable generation incomplete_generation InternalServerError internalServerException "
    "modelErrorException modelStreamErrorException",
    "request_too_large": "request_too_large payload_too_large string_too_long",
    "context_length_exceeded": "context_length_exceeded",
    "content_filter": "content_filter refusal",
    "model_not_found": "model_not_found resourceNotFoundException",
    "unsupported_feature": "UNIMPLEMENTED",
    "cancelled": "CANCELLED",
}


@pytest.mark.parametrize(("error_type", "name"), [(kind, n) for kind, names in BY_NAME.items() for n in names.split()])
def test_name_alone(error_type: str, name: str) -> None:
    """Inside HTTP 200 the name of an error decides, as code, type or status, and no known name goes unread."""
    for key in ("code", "type", "status", "error_type", "__type"):
        error = in_band({key: name, "message": "x"})

        assert (error_type, name) == (error.error_type, error.code)


def test_every_name_is_in_the_table() -> None:
    """The table of this test names whatever the package knows a status for."""
    assert set() == set(NOMINAL) - {name.lower() for names in BY_NAME.values() for name in names.split()}


def test_rows_are_unique() -> None:
    """No row hides another one by its name."""
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []


# --- errors inside HTTP 200 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given_error", "error_type", "code", "status"), IN_BAND, ids=[row[0] for row in IN_BAND]
)
def test_in_band(name: str, given_error: Any, error_type: str, code: str | None, status: int | None) -> None:
    """An error inside HTTP 200 is classed by the status it names, else by its type, else as the provider's failure."""
    error = in_band(given_error)

    assert error_type == error.error_type
    assert code == error.code
    assert status == error.status_code


def test_in_band_takes_words_and_request_id_from_the_event() -> None:
    """What the error object lacks is taken from the event around it."""
    raw = json.dumps(
        {"type": "error", "error": {"type": "api_error", "message": "Boom"}, "request_id": "req_9"}
    ).encode()

    error = in_band({"type": "api_error"}, raw)

    assert error.request_id == "req_9"
    assert str(error).startswith("Boom. ")


def test_in_band_wait() -> None:
    """Gemini says the wait inside the error, so a stream that breaks has it too."""
    assert in_band(google(429, "RESOURCE_EXHAUSTED", "x", RETRY_INFO)["error"]).retry_after == 37.0


def test_wait_in_a_body_that_is_not_unicode() -> None:
    """One broken character does not hide the wait."""
    body = sent(google(429, "RESOURCE_EXHAUSTED", "caf#", RETRY_INFO)).replace(b"#", b"\xe9")

    assert classify(429, {}, body).retry_after == 37.0


@pytest.mark.parametrize(
    ("given_error", "rejected_by"),
    [
        ({"type": "invalid_request_error"}, "provider"),
        ({"code": 429}, "provider"),
        ({"type": "overloaded_error"}, None),
    ],
)
def test_in_band_rejection(given_error: Any, rejected_by: str | None) -> None:
    """A request that the provider refuses is told from a failure on its side."""
    assert rejected_by == in_band(given_error).rejected_by


# --- what the error tells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"x-request-id": "a", "request-id": "b"}, {}, "a"),
        ({"request-id": "b"}, {}, "b"),
        ({"apim-request-id": "c"}, {}, "c"),
        ({"x-amzn-requestid": "d"}, {}, "d"),
        ({"x-generation-id": "gen-1"}, {}, "gen-1"),
        ({}, anthropic("api_error", "x"), "req_011C"),
        ({}, {"error": {"message": "x"}, "x_groq": {"id": "req_g"}}, "req_g"),
        ({"x-request-id": "h"}, anthropic("api_error", "x"), "h"),
        ({"x-request-id": "p\r\nq"}, {}, "p q"),
        ({}, {}, None),
    ],
)
def test_request_id(headers: dict[str, str], body: Any, expected: str | None) -> None:
    """The request id comes from the header, else from the body."""
    assert expected == classify(500, headers, sent(body)).request_id


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, openai("No key."), "No key. Check the API key of this provider."),
        (404, {"detail": "Not Found"}, "Not Found. Check base_url: the provider has nothing at this path."),
        (404, HTML_404, "HTTP 404: an HTML page titled 'Error 404 (Not Found)!!1'. Check base_url: "),
        (502, b"", "HTTP 502: no reason given. Try again"),
        (502, b"null", "HTTP 502: no reason given. Try again"),
        (502, b"<HTML><title>\n This &amp; that </title>", "HTTP 502: an HTML page titled 'This & that'. Try again"),
        (503, b"<html>&nbsp;</html>", "HTTP 503: an HTML page. Try again later"),
        (500, b"a\x00b\r\n\tc \xe2\x80\xaed", "a b c d. Try again"),
        (500, b'{"message": "caf\xe9"}', "caf\ufffd. Try again"),
        (500, b"\xef\xbb\xbf" + sent({"message": "with a mark"}), "with a mark. Try again"),
        (500, b'{"error": {"message": "cut of', '{"error": {"message": "cut of. Try again'),
        (422, {"detail": [{"loc": ["body", 0, "role"], "msg": "Bad"}, {"msg": "No"}]}, "body.0.role: Bad; No. "),
        (400, {"error": ["one", "two", 3, {"message": "four"}]}, "one; two; four. "),
        (400, {"error": [{"message": "first"}, {"message": "second"}]}, "first. "),
        (500, openrouter(502, "Provider returned error", raw="is down"), "Provider returned error: is down. "),
        (502, {"success": False, "errors": [{"code": 10000, "message": "No"}]}, "No. "),
        (400, {"k": [1]}, 'HTTP 400: a body of no known shape, {"k":[1]}. Correct the request'),
        (400, [], "HTTP 400: no reason given. Correct the request"),
        (400, b"17", "HTTP 400: no reason given. Correct the request"),
        (400, b'"a text"', "a text. Correct the request"),
        (301, b"", "HTTP 301: the provider redirects. Set base_url to where the API is."),
        (200, b"", "HTTP 200: no reason given. Check that base_url is an API of this provider."),
        (407, b"", "HTTP 407: no reason given. Check the user name and the password of the proxy."),
    ],
)  # fmt: skip
def test_message(status: int, body: Any, expected: str) -> None:
    """A message is what the provider said, readable, and what to do."""
    assert str(classify(status, {}, sent(body))).startswith(expected)


def test_redirect_names_the_place_without_its_secrets() -> None:
    """A redirect says where to, but not the query or the user in the URL."""
    headers = {"location": "https://user:pass@example.com/v1/chat?api_key=secret"}

    message = str(classify(308, headers, b""))

    assert "HTTP 308: the provider redirects to https://example.com/v1/chat. Set base_url" in message
    assert "secret" not in message
    assert "pass" not in message


@pytest.mark.parametrize("location", ["http://[", "/v1/", "", "https://" + "a" * 9000])
def test_redirect_to_nowhere(location: str) -> None:
    """A location that is no URL is left out."""
    message = str(classify(302, {"location": location}, b""))

    assert message.endswith(" Set base_url to where the API is.")
    assert len(message) < LIMIT + 200


def test_message_is_shortened() -> None:
    """However long the provider's words are, the message has a bound."""
    message = str(classify(500, {}, sent(openai("word " * 10_000))))

    assert LIMIT < len(message) < LIMIT + 100
    assert "... Try again" in message


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnop", "sk-ant-api03-AbC_d-1234567890", "sk-or-v1-0123456789abcdef", "sk-12********cdef",
        "gsk_AbCdEf0123456789", "AIzaSyD-1234567890abcdefg_hij", "AQ.Ab8RN6K1234567890", "xai-AbCdEf0123456789",
        "pplx-0123456789abcdef0123", "hf_AbCdEfGhIjKlMnOp0123", "AKIAIOSFODNN7EXAMPLE", "csk-abcdef0123456789",
        "nvapi-abcdef0123456789", "invalid-*****2345", "na***ys", "ya29.a0AfH6SMBx12345",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ["Incorrect API key provided: {}.", "The key {} is not valid", '{{"key":"{}"}}', "{}"])
def test_keys_are_not_repeated(key: str, text: str) -> None:
    """A key that the provider repeats, whole or partly masked, is in no part of the error."""
    said = text.format(key)

    for error in (classify(401, {}, sent(openai(said, key, said))), classify(401, {}, said.encode()), in_band(said)):
        assert key not in f"{error} {error.code} {error.request_id}"
        assert "***" in str(error)


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Bearer 0123456789abcdef0123456789abcdef",
        "api_key=0123456789abcdef",
        "Your api key: ****f5a1 is invalid",
        'Incorrect API key provided: "0f1e2d3c4b5a69788796a5b4c3d2e1f0"',
        "password: hunter2hunter2",
    ],
)
def test_named_keys_are_not_repeated(said: str) -> None:
    """A key of no known form is known by what is said before it."""
    secret = said.replace('"', "").split()[-1].split("=")[-1]
    if secret == "invalid":
        secret = "f5a1"

    assert secret not in str(classify(401, {}, sent({"message": said})))


@pytest.mark.parametrize(
    "said",
    [
        "The model `gpt-4o-mini-2024-07-18` does not exist",
        "You didn't provide an API key. Use Authorization: Bearer YOUR_KEY",
        "max_tokens: 128000 is above 4096",
        "task-oriented request 20241201-1234567890 failed, api_connection_error",
        "see https://platform.openai.com/docs/guides/error-codes/api-errors",
        "Missing required parameter: 'api_key: required'",
    ],
)
def test_harmless_words_stay(said: str) -> None:
    """Only keys are taken out."""
    assert str(classify(400, {}, sent(openai(said)))).startswith(said)


def test_every_class_says_what_to_do() -> None:
    """Each class that a provider's failure can have comes with a remedy."""
    seen = {classify(row.status, row.headers, sent(row.body)).error_type for row in ROWS}

    assert set() == seen - set(REMEDY)
    assert {"malformed_response"} == set(REMEDY) - seen


# --- the last rules ---------------------------------------------------------------------------------------------


def test_text_rules_have_names_and_are_used() -> None:
    """Each last rule has a name of its own and decides at least one row."""
    decided = set()
    for row in ROWS:
        error = classify(row.status, row.headers, sent(row.body))
        decided |= {r.name for r in TEXT if row.status in r.statuses and r.pattern.search(str(error))}

    assert len(TEXT) == len({rule.name for rule in TEXT})
    assert set() == {rule.name for rule in TEXT} - decided


@pytest.mark.parametrize("row", [row for row in ROWS if 400 <= row.status < 499], ids=lambda row: row.name)
def test_text_rules_keep_to_their_status(row: Row) -> None:
    """The same body with another status has the class of that status."""
    for status, expected in ((500, "server_error"), (401, "auth_error")):
        error = classify(status, {}, sent({"message": str(classify(row.status, {}, sent(row.body)))}))

        assert expected == error.error_type


NOISE = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.integers(0, 10**6).map(str),
        st.sampled_from(
            ["429", "503", "rate limit", "rate_limit_exceeded", "overloaded", "insufficient_quota", "timeout", "quota",
             "Too Many Requests", "model not found", "context length", "API key", "invalid_api_key", "content_filter"]
        ),
    ),
    max_size=8,
).map(" ".join)  # fmt: skip


@given(NOISE, NOISE)
def test_words_never_change_the_class_of_a_400(said: str, parameter: str) -> None:
    """A 400 that says 429, or whose parameter is named after a limit, is what its code says: a bad request."""
    body = {"error": {"message": f"Invalid value {said}", "type": "invalid_request_error", "param": parameter}}

    assert classify(400, {}, sent(body)).error_type == "validation_error"
    assert in_band(body["error"]).error_type == "validation_error"
    assert classify(400, {}, sent({"message": f"Invalid value {said}"})).error_type == "validation_error"


# --- whatever comes ---------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    ["error", "errors", "message", "code", "type", "status", "detail", "details", "metadata", "violations", "quotaId",
     "innererror", "request_id", "loc", "msg", "raw", "headers", "retryDelay", "response", "x_groq", "estimated_time"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["429", "error", '{"error": {"code": 1}}', "[[", "RequestsPerDay", "37s", "insufficient_quota"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["retry-after", "retry-after-ms", "date", "location", "x-request-id", "x-amzn-errortype",
         "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
    ),
    st.text(max_size=30) | st.sampled_from(["0", "-1", "nan", "1e400", "Fri, 31 Dec 1999 23:59:59 GMT", "http://["]),
)  # fmt: skip


def check(error: LLMError) -> None:
    assert CLASSES[error.error_type] is type(error)
    assert 0 < len(str(error)) < LIMIT + 200
    assert str(error).isprintable() or not any(c in str(error) for c in "\r\n\x00\x1b\u202e")
    assert str(error) == str(pickle.loads(pickle.dumps(error)))
    json.dumps([str(error), error.code, error.request_id]).encode()
    str(error).encode()
    assert error.retry_after is None or 0 <= error.retry_after < float("inf")


@given(st.integers(), HEADERS, st.binary(max_size=200), st.none() | st.floats(0, 1e10))
@example(400, {}, b'{"error": ' * 2000, None)
@example(400, {}, b"[" * 200_000, None)
@example(400, {}, b'{"error":' * 9 + b'"x"' + b"}" * 9, None)
@example(400, {}, b'{"message": "' + b"\\ud800" + b'"}', None)
@example(503, {}, b"data: \xff\n", None)
@example(503, {}, b"event", None)
def test_any_bytes(status: int, headers: dict[str, str], body: bytes, now: float | None) -> None:
    """Whatever the status, the headers and the bytes are, there is an error of the closed set and nothing is raised."""
    check(classify(status, headers, body, now))


@given(st.integers(100, 599), HEADERS, VALUES)
def test_any_json(status: int, headers: dict[str, str], value: Any) -> None:
    """Whatever the shape of the JSON is, there is an error of the closed set and nothing is raised."""
    error = classify(status, headers, json.dumps(value).encode(), 1e9)

    check(error)
    assert status == error.status_code


@given(VALUES, st.binary(max_size=100))
def test_any_in_band(value: Any, raw: bytes) -> None:
    """Whatever stands under `error` inside HTTP 200, it becomes an error of the closed set."""
    check(in_band(value, raw))


@given(st.text(st.characters(), max_size=300))
@example("half of a \ud83d character")
def test_any_text_in_band(said: str) -> None:
    """Any text, with halves of characters too, can be shown, logged and written as JSON."""
    check(in_band({"message": said, "code": said}))


# --- the recordings ---------------------------------------------------------------------------------------------


def expected_of(status: int, body: Any) -> str:
    """A small table of its own for the failures that were recorded."""
    said = json.dumps(body)
    if '"model_not_found"' in said or '"not_found_error"' in said or "model identifier is invalid" in said:
        return "model_not_found"
    if status == 404 and "models/" in said:
        return "model_not_found"
    return {400: "validation_error", 401: "auth_error", 429: "rate_limit", 500: "server_error"}[status]


def test_recorded_failures(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each recorded reply with a status of failure has its class."""
    counts: Counter[str] = Counter()
    for file in sorted(recordings.glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            response = json.loads(line)["response"]
            status = response["status"]
            if status < 400:
                continue
            body = response["body"] if "body" in response else response["text"].encode()
            error = classify(status, response["headers"], sent(body))

            assert expected_of(status, body) == error.error_type, line[:500]
            assert status == error.status_code
            counts[file.stem] += 1

    with capsys.disabled():
        sys.stdout.write(f"\n{counts.total()} recorded failures: {dict(counts)}\n")
    assert counts.total() > 0


def test_recorded_error_in_a_stream(recordings: Path) -> None:
    """Groq's recorded `event: error` is a refused request with its code."""
    errors = []
    for line in (recordings / "compat_groq.jsonl").read_text("utf-8").splitlines():
        for event in (json.loads(line)["response"].get("text") or "").split("\n\n"):
            if event.startswith("event: error\ndata: "):
                data = event.removeprefix("event: error\ndata: ").encode()
                errors.append(in_band(json.loads(data)["error"], data))

    assert errors
    assert {("validation_error", "tool_use_failed")} == {(error.error_type, error.code) for error in errors}
