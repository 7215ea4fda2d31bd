"""The checks of configuration values: what they let through, what they refuse, and in which words."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import checks
from multi_llm_wrapper.config import OpenAIConfig
from multi_llm_wrapper.secret import Secret

CANARY = "sk-canary-0123456789"
HUGE = 10**5000
"""An integer that Python refuses to write out in digits."""
huge = pytest.param(HUGE, id="huge")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Odd:
    """A value of no type that any setting has."""


kinds = st.sampled_from([int, str, OpenAIConfig])
junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.binary(max_size=5)
    | st.just(HUGE)
    | st.builds(Unprintable)
    | st.builds(Odd)
    | st.lists(st.integers() | st.text(max_size=3), max_size=3)
    | st.dictionaries(st.text(max_size=3) | st.integers(), st.text(max_size=3) | st.integers(), max_size=3)
)
CHECKS: dict[str, checks.Check] = {
    "positive": checks.positive,
    "retries": checks.retries,
    "at_least_one": checks.at_least_one,
    "flag": checks.flag,
    "token": checks.token,
    "key": checks.key,
    "url": checks.url,
    "proxy": checks.proxy,
    "file": checks.file,
    "names": checks.names,
    "headers": checks.headers,
    "choice": checks.choice("a", "b"),
    "instance": checks.instance(OpenAIConfig),
    "by_name": checks.by_name(OpenAIConfig),
    "lists_by_name": checks.lists_by_name(str),
    "store": checks.store("cache", "memory"),
}


@given(name=st.sampled_from(sorted(CHECKS)), value=junk)
def test_any_value_is_kept_or_refused_in_words(name: str, value: Any) -> None:
    """Whatever is given, a check gives a value or a ValueError that begins with the field and ends with a remedy."""
    try:
        CHECKS[name]("Config.field", value)
    except ValueError as error:
        text = str(error)
        remedy = text.partition("; ")[2]

        assert text.startswith(("Config.field ", "Config.field["))
        assert remedy.endswith(".")
        assert len(text) < 500


@given(st.text(alphabet=st.characters(codec=None), min_size=1, max_size=20))
def test_a_token_can_always_be_sent(text: str) -> None:
    """What passes as a token has bytes in UTF-8 and no white space in it."""
    try:
        kept = checks.token("field", text)
    except ValueError:
        return

    assert text == kept
    assert text == kept.encode().decode()
    assert [kept] == kept.split()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("short", "'short'"),
        ("x" * 200, "'" + "x" * 99 + "..."),
        pytest.param(HUGE, "an unprintable int", id="huge"),
        (Unprintable(), "an unprintable Unprintable"),
        ("\ud800", "'\\ud800'"),
    ],
)
def test_shown_is_a_bounded_repr(value: Any, expected: str) -> None:
    """A value is shown by its repr, cut after 100 characters, and never raises."""
    assert expected == checks.shown(value)


@pytest.mark.parametrize(("value", "expected"), [(1, 1.0), (0.5, 0.5), (10**6, 1e6)])
def test_seconds_are_a_float(value: float, expected: float) -> None:
    """A positive finite number is kept as a float."""
    kept = checks.positive("field", value)

    assert expected == kept
    assert isinstance(kept, float)


@pytest.mark.parametrize("value", [0, -1, -0.0, math.nan, math.inf, -math.inf, True, "5", None, [], 10**400, huge])
def test_what_is_no_time_is_refused(value: Any) -> None:
    """Zero, negative, infinite and oversized numbers, flags and texts are no seconds."""
    assert checks.seconds(value) is None
    with pytest.raises(ValueError, match=r"^T\.total is .*; give a number greater than 0\.$"):
        checks.positive("T.total", value)


@pytest.mark.parametrize("value", [0, 1, 2, 100])
def test_retries_from_0_to_100(value: int) -> None:
    """Whole numbers from 0 to the bound are kept."""
    assert value == checks.retries("field", value)


@pytest.mark.parametrize("value", [-1, 101, 1.0, True, "1", huge])
def test_other_retries_are_refused(value: Any) -> None:
    """Negative numbers, fractions, flags and more than 100 retries are refused."""
    with pytest.raises(ValueError, match=r"^C\.max_retries is .*; give a whole number from 0 to 100\.$"):
        checks.retries("C.max_retries", value)


@pytest.mark.parametrize("value", [0, -3, 1.5, True, "2"])
def test_at_least_one_refuses(value: Any) -> None:
    """A number that must be 1 or more is a whole number."""
    assert 1 == checks.at_least_one("field", 1)
    with pytest.raises(ValueError, match=r"^field is .*; give a whole number of at least 1\.$"):
        checks.at_least_one("field", value)


@pytest.mark.parametrize("value", [0, 1, "true", [], 1.0])
def test_a_flag_is_true_or_false(value: Any) -> None:
    """Only the two booleans are flags."""
    assert [True, False] == [checks.flag("field", True), checks.flag("field", False)]
    with pytest.raises(ValueError, match=r"^field is .*; give True or False\.$"):
        checks.flag("field", value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("true", True), (" YES ", True), ("on", True), ("0", False), ("False", False), ("no", False)],
)
def test_a_flag_as_text(text: str, expected: bool) -> None:
    """The usual words for a flag are understood in any case."""
    assert expected is checks.boolean(text)


@pytest.mark.parametrize("text", ["", "2", "maybe", "y es"])
def test_other_words_are_no_flag(text: str) -> None:
    """Anything else is a ValueError that says what to use."""
    with pytest.raises(ValueError, match=r"^use 1 or 0$"):
        checks.boolean(text)


@pytest.mark.parametrize(
    "value", ["", " ", "a b", "a\nb", "a\r", "a\tb", "a\x00", "a\x7f", "a\u00a0b", "\ud800", 5, None, b"x"]
)
def test_a_token_has_no_space_or_control_character(value: Any) -> None:
    """Text that goes into a header or URL is one word."""
    with pytest.raises(ValueError, match=r"^P\.api_version is .*; give a text without spaces"):
        checks.token("P.api_version", value)


# --- keys -------------------------------------------------------------------------------------------------------


def test_a_key_is_wrapped() -> None:
    """A key is held in a Secret, also when it is one already."""
    for value in (CANARY, Secret(CANARY)):
        kept = checks.key("field", value)

        assert isinstance(kept, Secret)
        assert CANARY == kept.reveal()


def test_an_empty_key_is_kept_as_no_key() -> None:
    """The empty text is allowed and counts as not given."""
    assert not checks.key("field", "")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (f"{CANARY}\n", "has a space, a line end or a control character"),
        (f" {CANARY}", "has a space"),
        (f"{CANARY}\x00", "has a space, a line end or a control character"),
        (f"{CANARY}\u201d", "has a character outside ASCII"),
        (f"{CANARY}\ud800", "has a character outside ASCII"),
        (Secret(f"{CANARY}\n"), "has a space"),
        (CANARY.encode(), "is a bytes"),
        (5, "is a int"),
    ],
)
def test_a_bad_key_is_refused_without_being_shown(value: Any, problem: str) -> None:
    """The message names the field and the problem, never the key."""
    with pytest.raises(ValueError, match=rf"^OpenAIConfig.api_key {problem}.*; .*") as caught:
        checks.key("OpenAIConfig.api_key", value)

    assert CANARY not in str(caught.value)


# --- URLs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("http://localhost:8000//", "http://localhost:8000"),
        ("HTTPS://Example.COM/v1", "HTTPS://Example.COM/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        (
            "https://gateway.example.com/v1/account/name/anthropic",
            "https://gateway.example.com/v1/account/name/anthropic",
        ),
    ],
)
def test_a_url_is_kept_without_its_last_slash(value: str, expected: str) -> None:
    """http and https URLs with any port and path prefix are base URLs."""
    assert expected == checks.url("field", value)


BAD_URLS = [
    "api.example.com/v1", "localhost:8000/v1", "ftp://example.com", "//example.com", "https://", "http:///v1",
    "https://exa mple.com", "https://example.com/\n", "", "http://host:port", "http://host:99999", "http://host:0",
    "http://[::1", "https://example.com/v1?key=1", "https://example.com/#x", "https://user:pw@example.com",
    "https://example.com/\ud800",
]  # fmt: skip


@pytest.mark.parametrize("value", [*BAD_URLS, 5, b"https://example.com", Path("/tmp"), huge])
def test_other_urls_are_refused(value: Any) -> None:
    """No scheme, no host, a wrong port, white space, credentials, query and fragment are refused, with an example."""
    with pytest.raises(
        ValueError, match=r'^P\.base_url (is|has) .*; give a URL such as "https://api\.example\.com/v1"'
    ):
        checks.url("P.base_url", value)


@pytest.mark.parametrize(
    "value",
    [
        CANARY, f"{CANARY} ", f"{CANARY}\n", f"https://x.example.com/v1?key={CANARY}", f"https://user:{CANARY}@example.com",
        f"user:{CANARY}@example.com", f"http://example.com:{CANARY}", f"https://example.com/#{CANARY}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("check", [checks.url, checks.proxy])
def test_a_key_in_a_url_is_not_shown(check: checks.Check, value: str) -> None:
    """A key that was put into a URL, or in its place, is not repeated in the message."""
    message = ""
    try:
        check("field", value)
    except ValueError as error:
        message = str(error)

    assert CANARY not in message
    assert message or (check is checks.proxy and value.startswith("https://"))


@pytest.mark.parametrize(
    "value", ["", "http://proxy.example.com:8080", "https://user:pw@proxy.example.com", "http://[::1]:3128"]
)
def test_a_proxy_may_have_credentials(value: str) -> None:
    """Proxy URLs are kept as they are; the empty text means no proxy."""
    assert value == checks.proxy("field", value)


@pytest.mark.parametrize(
    "value",
    [
        "proxy.example.com:8080",
        "socks5://proxy:1080",
        "http://",
        "http://[::1",
        "http://p:0",
        "http://p:x",
        "http://a\nb",
        5,
        None,
    ],
)
def test_other_proxies_are_refused(value: Any) -> None:
    """What is no http or https URL is no proxy, and the message does not repeat it."""
    with pytest.raises(ValueError, match=r"^P\.proxy is no proxy URL; give one such as .*, or \"\" for none\.$"):
        checks.proxy("P.proxy", value)


def test_a_file_has_to_be_there(tmp_path: Path) -> None:
    """A path that names a file is kept as text, whether text or path was given."""
    file = tmp_path / "ca.pem"
    file.touch()

    assert str(file) == checks.file("field", file)
    assert str(file) == checks.file("field", str(file))


@pytest.mark.parametrize("value", ["/no/such/file.pem", "", "x" * 5000, "a\0b", 5, None, os.sep])
def test_no_file_is_refused(value: Any) -> None:
    """A path without a file, a folder, or no path at all is a ValueError, never an OSError."""
    with pytest.raises(
        ValueError, match=r"^P\.ca_file is .*, where no readable file is; give the path of a PEM file\.$"
    ):
        checks.file("P.ca_file", value)


# --- dicts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[], "a", {"": "x"}, {"a": ""}, {"a": 5}, {5: "a"}, {"a": None}])
def test_a_model_map_is_names_to_names(value: Any) -> None:
    """Names on both sides, neither empty."""
    assert {"fast": "gpt-4o-mini"} == checks.names("field", {"fast": "gpt-4o-mini"})
    with pytest.raises(ValueError, match=r"^P\.model_map is .*; give a dict of model names"):
        checks.names("P.model_map", value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "é", 5])
def test_a_header_name_is_a_token(name: Any) -> None:
    """Header names have no space, colon or line end in them."""
    with pytest.raises(ValueError, match=r"^P\.headers has the name .*; use letters, digits and hyphens\.$"):
        checks.headers("P.headers", {name: "x"})


@pytest.mark.parametrize("content", ["a\nb", "a\rb", "a\0", "\ud800", 5, None, b"x"])
def test_a_header_value_is_one_line(content: Any) -> None:
    """Header values are text without line ends that has bytes in UTF-8; the message names only the header."""
    with pytest.raises(ValueError, match=r"^P\.headers has no usable text for 'X-A'; give a text without line ends\.$"):
        checks.headers("P.headers", {"X-A": content})


def test_headers_are_a_dict() -> None:
    """Good headers are kept; a list is refused."""
    assert {"X-A": "é, b"} == checks.headers("field", {"X-A": "é, b"})
    with pytest.raises(ValueError, match=r"^field is a list; give a dict of header names and values"):
        checks.headers("field", [("a", "b")])


@pytest.mark.parametrize("value", ["c", "", None, 5, ["a"]])
def test_a_choice_names_what_there_is(value: Any) -> None:
    """Any of the words is kept; anything else is refused with the words."""
    check = checks.choice("a", "b")

    assert "a" == check("field", "a")
    with pytest.raises(ValueError, match=r"^field is .*; use 'a' or 'b'\.$"):
        check("field", value)


def test_an_instance_is_not_shown() -> None:
    """A value of another class is refused by the name of its class, since it may hold a key."""
    config = OpenAIConfig()

    assert config is checks.instance(OpenAIConfig)("field", config)
    with pytest.raises(ValueError, match=r"^field is a dict; give OpenAIConfig\(\.\.\.\)\.$"):
        checks.instance(OpenAIConfig)("field", {"api_key": CANARY})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "field is a list; give a dict of names to OpenAIConfig"),
        ({"local": {"api_key": CANARY}}, "field['local'] is a dict; give OpenAIConfig(...)"),
        ({5: OpenAIConfig()}, "field has the name 5; use texts without spaces as names"),
        ({"a b": OpenAIConfig()}, "field has the name 'a b'; use texts without spaces as names"),
    ],
)
def test_by_name_says_which_entry_is_wrong(value: Any, message: str) -> None:
    """The wrong entry is named, and no value is shown."""
    good = {"local": OpenAIConfig()}

    assert good is checks.by_name(OpenAIConfig)("field", good)
    with pytest.raises(ValueError, match=r"^field") as caught:
        checks.by_name(OpenAIConfig)("field", value)
    assert f"{message}." == str(caught.value)


@pytest.mark.parametrize(
    "value", [{"a": "b"}, {"a": []}, {"a": [""]}, {"a": [5]}, {"a": None}, {"": ["b"]}, [], {5: ["b"]}]
)
def test_lists_by_name_says_which_entry_is_wrong(value: Any) -> None:
    """Every entry is a list with something in it."""
    good = {"a": ["b", "c"]}

    assert good is checks.lists_by_name(str)("field", good)
    with pytest.raises(ValueError, match=r"^field.*; (give|use) .*\.$"):
        checks.lists_by_name(str)("field", value)


@pytest.mark.parametrize(
    "value", ["memory", "sqlite:///llm.db", "sqlite:///my files/llm.db", "redis://:pw@localhost:6379/0"]
)
def test_a_store_is_a_word_or_a_url(value: str) -> None:
    """A known word and any URL say where things are kept."""
    assert value == checks.store("cache", "memory")("field", value)


@pytest.mark.parametrize(
    "value", ["disk", "", 5, True, f"{CANARY}@host", "Redis:/x", "sqlite://", "sqlite:// ", "sqlite:///a\n"]
)
def test_other_stores_are_refused(value: Any) -> None:
    """Anything else is refused, not repeated, with the words there are."""
    with pytest.raises(ValueError, match=r"^field is no cache; use 'memory' or a URL such as .*\.$") as caught:
        checks.store("cache", "memory")("field", value)

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("opnai", " (did you mean 'openai'?)"),
        ("groqq", " (did you mean 'groq'?)"),
        ("nothing-like-it", ""),
        ("x" * 1_000_000, ""),
    ],
)
def test_near_matches(word: str, expected: str) -> None:
    """Names that are near are offered; nothing is said when none is."""
    assert expected == checks.near(word, ["openai", "groq", "anthropic"])


# --- .env files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=b", "b"),
        ("A = b", "b"),
        ("export A=b", "b"),
        ("  A=b  ", "b"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A='b # c'", "b # c"),
        ('A="b c"', "b c"),
        ('A="b" # comment', "b"),
        ("A='b' # it's a comment", "b"),
        ('A="', '"'),
        ("A=b=c", "b=c"),
        ("A=${HOME}", "${HOME}"),
        ("A=b\r", "b"),
        ("A=b\nA=c", "c"),
        ("\ufeffA=b", "b"),
        ("# A=x\n\nA=b", "b"),
    ],
)
def test_a_line_of_a_dotenv_file(tmp_path: Path, line: str, expected: str) -> None:
    """Quotes, comments, `export` and blanks are understood, and nothing is expanded."""
    file = tmp_path / ".env"
    file.write_bytes(line.encode())

    assert {"A": expected} == checks.dotenv(file)


@pytest.mark.parametrize("line", ["A", "1A=b", "A B=c", "=b", "- A=b"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    """A line that is no NAME=value is a ValueError with its number, without what is in it."""
    file = tmp_path / ".env"
    file.write_text(f"X=1\n{line} {CANARY}")

    with pytest.raises(ValueError, match=r"^dotenv: line 2 of .* is not NAME=value; .*\.$") as caught:
        checks.dotenv(file)
    assert CANARY not in str(caught.value)


def _missing(folder: Path) -> Path:
    return folder / "none"


def _not_utf8(folder: Path) -> Path:
    (folder / "latin").write_bytes(b"A=\xff")
    return folder / "latin"


@pytest.mark.parametrize("make", [_missing, lambda folder: folder, _not_utf8, lambda _: Path("a\0b")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """A missing file, a folder and a file of another encoding are a ValueError."""
    with pytest.raises(ValueError, match=r"^dotenv: .* cannot be read .*; give the path of a \.env file in UTF-8\.$"):
        checks.dotenv(make(tmp_path))
