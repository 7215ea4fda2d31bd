"""What holds for every test: no network but loopback, no settings from the caller's shell, one place for recordings."""

import os
import socket
from collections.abc import Callable, Iterator
from importlib.metadata import version
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).parents[1]
VENDORS = ("ANTHROPIC_", "AZURE_", "GEMINI_", "GOOGLE_", "GROQ_", "OPENAI_", "PERPLEXITY_")

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")


def pytest_report_header() -> str:
    return f"aiohttp {version('aiohttp')}, msgspec {version('msgspec')}"


class NetworkBlockedError(BaseException):
    """A test reached for the network. Not an `Exception`, so no error handling under test can take it for an outage."""


@pytest.fixture(scope="session")
def network_blocked() -> type[BaseException]:
    """What is raised in a test that reaches for another machine."""
    return NetworkBlockedError


@pytest.fixture(scope="session", autouse=True)
def _network_guard() -> Iterator[None]:
    """Keep sockets and name lookups, and so asyncio and aiohttp, on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded_connect(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
        yield


def _guarded_connect(real: Callable[..., Any]) -> Callable[..., Any]:
    def connect(sock: socket.socket, address: Any) -> Any:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise NetworkBlockedError(f"this test tried to connect to {address[0]}, port {address[1]}")
        return real(sock, address)

    return connect


def _guarded_lookup(real: Callable[..., Any]) -> Callable[..., Any]:
    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host and not _is_loopback(host):
            raise NetworkBlockedError(f"this test tried to look up {host}, port {port}")
        return real(host, port, *args, **kwargs)

    return getaddrinfo


def _is_loopback(host: str | bytes) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name.lower() == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


@pytest.fixture(autouse=True)
def _clean_environment(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hide the caller's keys, base URLs, proxies and settings of ours; a live test keeps them, and the network too."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("live"):
            patch.setattr(f"{__name__}._is_loopback", lambda _: True)
        else:
            for name in list(os.environ):
                if _is_setting(name.upper()):
                    patch.delenv(name)
        yield


def _is_setting(name: str) -> bool:
    if name.startswith("MULTI_LLM_"):
        return name != "MULTI_LLM_RECORDINGS"
    return name.startswith(VENDORS) or name.endswith(("_API_KEY", "_BASE_URL", "_PROXY", "_TOKEN", "_SECRET_KEY"))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded provider exchanges; a test that wants it is skipped where there is none."""
    folder = Path(os.environ.get("MULTI_LLM_RECORDINGS") or REPOSITORY / "../shared/recordings").resolve()
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}; MULTI_LLM_RECORDINGS can name another folder")
    return folder
