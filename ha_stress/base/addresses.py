"""How an address and a port are written."""

from __future__ import annotations


def endpoint(host: str, port: int) -> str:
    """`host:port` as a URL has it: an IPv6 address stands in brackets, also if it came without them."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
