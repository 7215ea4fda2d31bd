"""Which proxy the environment names for a host: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, either case.

aiohttp's `trust_env` is not used because it also reads `~/.netrc` and would put its credentials beside our key.
Loopback is never proxied, as in Go's net/http.
"""

from __future__ import annotations

import ipaddress
import os
import re
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
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback if address is not None else host.rstrip(".").lower() == "localhost"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


_ENTRY = re.compile(r"(\[[^\]]*\]|[^:]*):(\d+)")


def _excluded(host: str, port: int | None, no_proxy: str) -> bool:
    """`*`, a domain (with or without a leading dot, matching its subdomains), an address, a CIDR block, each but the
    last with an optional port."""
    host = host.rstrip(".").lower()
    address = _address(host)
    for entry in no_proxy.lower().replace(",", " ").split():
        if "/" in entry:
            if address is not None and _in_network(address, entry):
                return True
            continue
        with_port = _ENTRY.fullmatch(entry)
        if with_port is not None:
            if port != int(with_port[2]):
                continue
            entry = with_port[1]
        if entry == "*" or (address is not None and address == _address(entry)):
            return True
        domain = entry.removeprefix("*").removeprefix(".").rstrip(".")
        if domain and (host == domain or host.endswith(f".{domain}")):
            return True
    return False


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
