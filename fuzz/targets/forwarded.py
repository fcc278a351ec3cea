# SPDX-License-Identifier: BSD-3-Clause
"""The headers with which a reverse proxy describes its client."""

import ipaddress

from pyaiot.transport.forwarded import TrustedProxies, forwarded_host, forwarded_scheme

CORPUS: list[bytes] = [
    b"198.51.100.7",
    b"evil, 198.51.100.7, 192.0.2.1",
    b"[2001:db8::1]:443, 192.0.2.9:80,::ffff:192.0.2.1",
    b"https, http",
    b"pi.lan:8000",
    b",,, ,",
]
_TRUSTED = TrustedProxies(["192.0.2.0/24", "2001:db8::/32"])


def fuzz_one(data: bytes) -> None:
    """The client is an address, and only a trusted peer can name a different one."""
    values = data.decode("utf-8", "surrogateescape").split("\n")
    ipaddress.ip_address(_TRUSTED.client("192.0.2.1", values))
    assert _TRUSTED.client("198.51.100.1", values) == "198.51.100.1"
    assert forwarded_scheme(values) in {None, "http", "https"}
    host = forwarded_host(values)
    assert host is None or "," not in host
