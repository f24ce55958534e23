"""Addresses as people type them: a host with or without a port."""

from mesh.defaults import DEFAULT_PORT
from mesh.errors import UsageError

_EXAMPLES = "give HOST or HOST:PORT, as in 192.168.1.5:7680 or [::1]:7680"


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> tuple[str, int]:
    """The host and the port in `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`.

    A bare IPv6 address has no port. Raises UsageError, which says what a good address looks like.
    """
    host, port_text = _divided(text.strip())
    if not host or any(character in host for character in "/[]@ "):
        raise UsageError(f"{text!r} is not an address: {_EXAMPLES}.")
    return host, default_port if port_text is None else _port(text, port_text)


def format_address(host: str, port: int) -> str:
    """The address as `parse_address` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _divided(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return "", None
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port_text = text.partition(":")
    return host, port_text if colon else None


def _port(text: str, port_text: str) -> int:
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text) <= 65535):
        raise UsageError(f"{text!r} has no port from 1 to 65535 after its last colon: {_EXAMPLES}.")
    return int(port_text)
