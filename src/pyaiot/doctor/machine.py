# SPDX-License-Identifier: BSD-3-Clause
"""The machine itself: Python, limits, clock, IPv6."""

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
from pyaiot.transport.udp import RECEIVE_BUFFER_BYTES, enlarge

_INTERFACES: Final = Path("/proc/net/if_inet6")
_LINK_LOCAL_SCOPE: Final = "20"
"""proc_net_if_inet6: address, index, length, scope, flags, name."""
_TIMEX_BYTES: Final = 512
"""More than `struct timex` is anywhere."""
_TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised."""


def look() -> Iterator[Finding]:
    """Everything that needs no settings. Takes milliseconds."""
    yield _versions()
    yield findings.open_files(*_limits())
    yield _receive_buffer()
    yield findings.clock(time.gmtime().tm_year, synchronised=clock_is_synchronised())
    yield findings.ipv6(enabled=_has_ipv6(), link_local=link_local_interfaces())


def _versions() -> Finding:
    has_uvloop = importlib.util.find_spec("uvloop") is not None
    python = f"Python {platform.python_version()}"
    says = f"Pyaiot {__version__}, {python}, {platform.system()} {platform.machine()}"
    if has_uvloop:
        loop = importlib.metadata.version("uvloop")
        return Finding("machine", "versions", "ok", f"{says}, uvloop {loop}")
    do = "`pip install uvloop`" if sys.implementation.name == "cpython" else "CPython has it"
    return Finding("machine", "versions", "note", f"{says}, without uvloop: it is slower", do)


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
    # Linux says twice what it was asked for, for its own records (socket(7)).
    given //= 2 if sys.platform == "linux" else 1
    return findings.receive_buffer(given, RECEIVE_BUFFER_BYTES)


def clock_is_synchronised() -> bool | None:
    """As the kernel knows it of an NTP client (adjtimex(2)); None where it cannot be asked."""
    if sys.platform != "linux":
        return None
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    # All zeroes ask, and change nothing. The answer itself is the state of the clock.
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
    """Interfaces with an address fe80::, as far as the system tells (Linux)."""
    try:
        lines = _INTERFACES.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    fields = (line.split() for line in lines)
    here = (field for field in fields if len(field) == 6 and field[3] == _LINK_LOCAL_SCOPE)
    return sorted({name for *_, name in here})
