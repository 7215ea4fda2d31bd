"""The test suite keeps its promises: loopback only, and nothing from the caller's shell."""

import asyncio
import os
import socket
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web

ELSEWHERE = "198.51.100.1"  # set aside for documentation: nobody is there, guard or no guard


@pytest.mark.parametrize("call", ["connect", "connect_ex"])
@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, ELSEWHERE), (socket.AF_INET6, "2001:db8::1"), (socket.AF_INET6, f"::ffff:{ELSEWHERE}")],
)
def test_a_connection_to_another_machine_is_blocked_by_name(
    network_blocked: type[BaseException], call: str, family: socket.AddressFamily, address: str
) -> None:
    """The error has its address and port, be it IPv4, IPv6 or the one inside the other."""
    with socket.socket(family) as sock, pytest.raises(network_blocked, match=f"{address}, port 443"):
        getattr(sock, call)((address, 443))


@pytest.mark.parametrize("host", ["api.example.com", b"api.example.com", "localhost.example.com", ELSEWHERE])
def test_a_lookup_of_another_machine_is_blocked_by_name(
    network_blocked: type[BaseException], host: str | bytes
) -> None:
    """No name server is asked either, nor for a name that only begins like a local one."""
    with pytest.raises(network_blocked, match="look up"):
        socket.getaddrinfo(host, 443)


@pytest.mark.asyncio
@pytest.mark.parametrize("host", [ELSEWHERE, "api.example.com"])
async def test_asyncio_is_blocked(network_blocked: type[BaseException], host: str) -> None:
    """Its loop has ways of its own to a socket, and none of them leads past the guard."""
    with pytest.raises(network_blocked, match=host):
        await asyncio.open_connection(host, 443)


@pytest.mark.asyncio
@pytest.mark.parametrize("host", [ELSEWHERE, "api.example.com"])
async def test_aiohttp_is_blocked(network_blocked: type[BaseException], host: str) -> None:
    """Neither its resolver nor its connector gets past the guard."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(network_blocked, match=host):
            await session.get(f"http://{host}/")


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_open(host: str) -> None:
    """Tests have servers of their own, which are reached by address and by name."""

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/") as reply:
            assert await reply.text() == "hello"
    finally:
        await runner.cleanup()


def test_unix_sockets_are_open() -> None:
    """Only the network is closed: here the system answers, not the guard."""
    with socket.socket(socket.AF_UNIX) as sock:
        assert sock.connect_ex("/nowhere.sock") != 0  # refused by the system, not by the guard


HIDDEN = ("OPENAI_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ACME_API_KEY", "GROQ_BASE_URL", "MULTI_LLM_CACHE", "https_proxy")


@pytest.fixture(scope="module")
def _callers_shell() -> Iterator[None]:
    """Set before the guard looks at the environment, as the caller's shell would."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*HIDDEN, "MULTI_LLM_RECORDINGS"):
            patch.setenv(name, "from-the-shell")
        yield


@pytest.mark.usefixtures("_callers_shell")
def test_the_callers_settings_are_hidden() -> None:
    """Keys, URLs, proxies and settings of ours are gone; only the place of the recordings stays."""
    assert not [name for name in HIDDEN if name in os.environ]
    assert os.environ["MULTI_LLM_RECORDINGS"] == "from-the-shell"
