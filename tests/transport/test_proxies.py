"""Which proxy the environment names for a host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.transport.proxies import proxy_for

PROXY = "http://proxy.example.com:3128"
OTHER = "http://other.example.com:3128"
HOST = "api.openai.com"


@pytest.mark.parametrize(
    ("scheme", "environ", "expected"),
    [
        ("https", {}, None),
        ("https", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https", {"https_proxy": PROXY}, PROXY),
        ("https", {"https_proxy": PROXY, "HTTPS_PROXY": OTHER}, PROXY),
        ("https", {"HTTP_PROXY": PROXY}, None),
        ("http", {"HTTP_PROXY": PROXY}, PROXY),
        ("http", {"http_proxy": PROXY}, PROXY),
        ("http", {"HTTPS_PROXY": PROXY}, None),
        ("https", {"ALL_PROXY": PROXY}, PROXY),
        ("http", {"all_proxy": PROXY}, PROXY),
        ("https", {"ALL_PROXY": PROXY, "HTTPS_PROXY": OTHER}, OTHER),
        ("https", {"HTTPS_PROXY": "", "ALL_PROXY": PROXY}, PROXY),
        ("https", {"HTTPS_PROXY": "  "}, None),
        ("https", {"HTTPS_PROXY": f" {PROXY}\n"}, PROXY),
        ("https", {"HTTPS_PROXY": "proxy.example.com:3128"}, PROXY),
        ("https", {"HTTPS_PROXY": "http://user:pw@proxy.example.com"}, "http://user:pw@proxy.example.com"),
    ],
)
def test_the_variable_of_the_scheme_counts(scheme: str, environ: dict[str, str], expected: str | None) -> None:
    """In either case, lower case first, then ALL_PROXY; a name without scheme is an http proxy."""
    assert expected == proxy_for(scheme, HOST, 443, environ)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, None),
        ({"http_proxy": OTHER, "HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, OTHER),
        ({"HTTP_PROXY": PROXY, "ALL_PROXY": OTHER, "REQUEST_METHOD": "GET"}, OTHER),
    ],
)
def test_a_cgi_program_does_not_believe_http_proxy(environ: dict[str, str], expected: str | None) -> None:
    """There HTTP_PROXY is the header `Proxy:` of whoever asks (httpoxy); the lower-case variable is not."""
    assert expected == proxy_for("http", HOST, 80, environ)
    assert PROXY == proxy_for("https", HOST, 443, {"HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"})


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "127.8.9.10",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
    ],
)
def test_loopback_is_never_proxied(host: str) -> None:
    """Whatever the environment says, with nothing excluded."""
    assert proxy_for("http", host, 8000, {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}) is None


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "mylocalhost", "10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1"]
)
def test_what_only_looks_like_loopback_is_proxied(host: str) -> None:
    """Private addresses and similar names are other machines."""
    assert PROXY == proxy_for("http", host, 80, {"HTTP_PROXY": PROXY})


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "api.example.com", 443, False),
        ("*", "api.example.com", 443, True),
        ("*", "10.0.0.1", 443, True),
        ("*:8443", "api.example.com", 8443, True),
        ("*:8443", "api.example.com", 443, False),
        # names
        ("example.com", "example.com", 443, True),
        ("example.com", "api.example.com", 443, True),
        ("example.com", "a.b.example.com", 443, True),
        ("example.com", "notexample.com", 443, False),
        ("example.com", "example.com.evil.org", 443, False),
        (".example.com", "api.example.com", 443, True),
        (".example.com", "example.com", 443, True),
        ("*.example.com", "api.example.com", 443, True),
        ("*.example.com", "notexample.com", 443, False),
        ("EXAMPLE.com", "API.Example.COM", 443, True),
        ("example.com.", "api.example.com", 443, True),
        ("example.com", "api.example.com.", 443, True),
        (".", "api.example.com", 443, False),
        # lists
        ("a.org,example.com", "api.example.com", 443, True),
        ("example.com,a.org", "api.example.com", 443, True),
        (" a.org , example.com ", "example.com", 443, True),
        ("a.org example.com", "example.com", 443, True),
        (",,", "example.com", 443, False),
        ("a.org,b.org", "example.com", 443, False),
        # ports
        ("example.com:8443", "example.com", 8443, True),
        ("example.com:8443", "example.com", 443, False),
        ("example.com:8443", "example.com", None, False),
        ("example.com:443,example.com:8443", "api.example.com", 8443, True),
        ("example.com:port", "example.com", 443, False),
        # addresses
        ("10.0.0.1", "10.0.0.1", 443, True),
        ("10.0.0.1", "10.0.0.10", 443, False),
        ("10.0.0.1:8443", "10.0.0.1", 8443, True),
        ("10.0.0.1:8443", "10.0.0.1", 443, False),
        ("2001:db8::1", "2001:db8::1", 443, True),
        ("2001:DB8:0::1", "[2001:db8::1]", 443, True),
        ("[2001:db8::1]", "2001:db8::1", 443, True),
        ("[2001:db8::1]:8443", "2001:db8::1", 8443, True),
        ("[2001:db8::1]:8443", "2001:db8::1", 443, False),
        ("2001:db8::1", "2001:db8::2", 443, False),
        # networks
        ("10.0.0.0/8", "10.9.8.7", 443, True),
        ("10.1.2.3/8", "10.9.8.7", 443, True),
        ("10.0.0.0/8", "11.0.0.1", 443, False),
        ("10.0.0.0/8", "api.example.com", 443, False),
        ("2001:db8::/32", "[2001:db8:5::1]", 443, True),
        ("2001:db8::/32", "10.0.0.1", 443, False),
        ("10.0.0.0/99,example.com", "example.com", 443, True),
        ("10.0.0.0/99", "10.0.0.1", 443, False),
        ("nonsense/8", "10.0.0.1", 443, False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy(name: str, no_proxy: str, host: str, port: int | None, direct: bool) -> None:
    """Domains with their subdomains, addresses, networks and `*`, each but the networks with a port or without."""
    assert (None if direct else PROXY) == proxy_for("https", host, port, {"HTTPS_PROXY": PROXY, name: no_proxy})


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read at each call."""
    assert proxy_for("https", HOST, 443) is None
    monkeypatch.setenv("HTTPS_PROXY", PROXY)

    assert PROXY == proxy_for("https", HOST, 443)


pieces = st.text("ab.*:/[]0189, ", max_size=12)


@given(pieces, pieces, st.none() | st.integers(1, 65535))
def test_any_exclusion_gives_an_answer(no_proxy: str, host: str, port: int | None) -> None:
    """Nonsense in NO_PROXY excludes nothing or something, and never raises."""
    assert proxy_for("https", host, port, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) in (None, PROXY)
