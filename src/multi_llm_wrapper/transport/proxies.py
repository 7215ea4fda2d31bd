"""Which proxy the environment names for a host: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, either case.

aiohttp's `trust_env` is not used because it also reads `~/.netrc` and would put its credentials beside our key.
Loopback is never proxied, as in Go's net/http.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping


def proxy_for(scheme: str, host: str, port: int | None, environ: Mapping[str, str] | None = None) -> str | None:
    """The proxy URL, or None for a direct connection."""
    environ = os.environ if environ is None else environ
    proxy = _get(environ, f"{scheme}_proxy") or _get(environ, "all_proxy")
    if not proxy or _is_loopback(host) or _excluded(host, port, _get(environ, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _get(environ: Mapping[str, str], name: str) -> str:
    # Upper-case HTTP_PROXY can be set by a client of a CGI program (https://httpoxy.org).
    upper = "" if name == "http_proxy" and "REQUEST_METHOD" in environ else environ.get(name.upper(), "")
    return (environ.get(name) or upper).strip()


def _is_loopback(host: str) -> bool:
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _excluded(host: str, port: int | None, no_proxy: str) -> bool:
    """`*`, a domain (with or without a leading dot, matching its subdomains), an address, a CIDR block, each with an
    optional port."""
    host = host.rstrip(".").lower()
    for entry in no_proxy.lower().replace(",", " ").split():
        if entry == "*":
            return True
        if "/" in entry:
            if _in_network(host, entry):
                return True
            continue
        name, colon, entry_port = entry.rpartition(":")
        if colon and entry_port.isdigit() and name.count(":") == 0:
            if port != int(entry_port):
                continue
            entry = name
        entry = entry.removeprefix("*").removeprefix(".")
        if host == entry or host.endswith(f".{entry}"):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
