# SPDX-License-Identifier: BSD-3-Clause
"""Notifications to the service manager: ready, stopping, and the watchdog.

The protocol of sd_notify(3): one datagram of `NAME=value` lines to the socket in `NOTIFY_SOCKET`.
Without that variable, or if the socket does not accept the datagram, nothing happens.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

_MICROSECONDS: Final = 1_000_000
_STATUS_CHARACTERS_MAX: Final = 200
"""Longest status, in characters. A longer one is cut: `systemctl status` shows one line."""


def notify(environ: Mapping[str, str], **fields: str) -> None:
    """Send the fields. Never waits and never raises."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"} or not hasattr(socket, "AF_UNIX"):
        return
    lines = "\n".join(f"{name}={value}" for name, value in fields.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        # `@` stands for the zero byte of an abstract address.
        sender.sendto(lines.encode(), "\0" + address[1:] if address.startswith("@") else address)


def notify_ready(status: str) -> None:
    """Report that all listeners of this process are open. `status`: one line for people, without
    secrets."""
    shown = " ".join(status.split())[:_STATUS_CHARACTERS_MAX]
    notify(os.environ, READY="1", STATUS=shown)


def is_managed(environ: Mapping[str, str]) -> bool:
    """Whether the standard output of this process goes to the journal of systemd."""
    return "NOTIFY_SOCKET" in environ and "JOURNAL_STREAM" in environ


def watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Interval at which the watchdog is fed: half of its timeout. None if this process has no
    watchdog."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        limit = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return limit / _MICROSECONDS / 2 if limit > 0 else None


@contextmanager
def watched(loop: asyncio.AbstractEventLoop, environ: Mapping[str, str]) -> Iterator[None]:
    """Feed the watchdog from the event loop until the block ends, then report the stop. If the loop
    hangs, systemd restarts the service."""
    interval_s = watchdog_interval_s(environ, os.getpid())
    timer: asyncio.TimerHandle | None = None

    def feed() -> None:
        nonlocal timer
        notify(environ, WATCHDOG="1")
        assert interval_s is not None  # noqa: S101 - it is only called with one
        timer = loop.call_later(interval_s, feed)

    if interval_s is not None:
        feed()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
        notify(environ, STOPPING="1")
