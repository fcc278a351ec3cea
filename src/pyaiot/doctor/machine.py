# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the machine: Python, limits, clock, IPv6."""

import ctypes
import importlib.metadata
import importlib.util
import platform
import resource
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pyaiot import __version__
from pyaiot.doctor import findings
from pyaiot.doctor.findings import Finding
from pyaiot.transport.udp_sockets import RECEIVE_BUFFER_BYTES, enlarge

_INTERFACES: Final = Path("/proc/net/if_inet6")
_LINK_LOCAL_SCOPE: Final = "20"
"""The fourth field of `/proc/net/if_inet6`: address, index, length, scope, flags, name."""
_TIMEX_BYTES: Final = 512
"""At least the size of `struct timex` on every platform."""
_TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised."""


def check() -> Iterator[Finding]:
    """All checks that need no settings. They take milliseconds."""
    yield _versions()
    yield findings.open_files(*_limits())
    yield _receive_buffer()
    yield findings.clock(time.gmtime().tm_year, synchronised=clock_is_synchronised())
    yield findings.ipv6(enabled=_has_ipv6(), link_local=link_local_interfaces())


def _versions() -> Finding:
    has_uvloop = importlib.util.find_spec("uvloop") is not None
    python = f"Python {platform.python_version()}"
    text = f"Pyaiot {__version__}, {python}, {platform.system()} {platform.machine()}"
    if has_uvloop:
        loop = importlib.metadata.version("uvloop")
        return Finding("machine", "versions", "ok", f"{text}, uvloop {loop}")
    is_cpython = sys.implementation.name == "cpython"
    action = "`pip install uvloop`" if is_cpython else "run it with CPython, which has uvloop"
    return Finding("machine", "versions", "note", f"{text}, without uvloop (slower)", action)


def _limits() -> tuple[int, int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        -1 if soft == resource.RLIM_INFINITY else soft,
        -1 if hard == resource.RLIM_INFINITY else hard,
    )


def _receive_buffer() -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        enlarge(probe)
        given = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    # Linux doubles the requested size for its bookkeeping, and reports that (socket(7)).
    given //= 2 if sys.platform == "linux" else 1
    return findings.receive_buffer(given, RECEIVE_BUFFER_BYTES)


def clock_is_synchronised() -> bool | None:
    """Whether an NTP client synchronises the clock (adjtimex(2)); None if that is unknown."""
    if sys.platform != "linux":
        return None
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    # A struct of zeros changes nothing. The return value is the state of the clock.
    state: int = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def link_local_interfaces() -> list[str]:
    """Interfaces with an address in fe80::/10. Empty where /proc does not list them."""
    try:
        lines = _INTERFACES.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    fields = (line.split() for line in lines)
    link_local = (field for field in fields if len(field) == 6 and field[3] == _LINK_LOCAL_SCOPE)
    return sorted({name for *_, name in link_local})
