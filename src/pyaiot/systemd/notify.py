# SPDX-License-Identifier: BSD-3-Clause
"""What a service tells the service manager: ready, stopping, and that its event loop turns.

The protocol of sd_notify(3): one datagram of `NAME=value` lines to the socket in `NOTIFY_SOCKET`.
Without that variable, or if the socket does not take the datagram, nothing happens.
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
"""A longer status is cut: `systemctl status` shows one line."""


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
    """All listeners of this process are open. `status`: one line for people, without secrets."""
    shown = " ".join(status.split())[:_STATUS_CHARACTERS_MAX]
    notify(os.environ, READY="1", STATUS=shown)


def is_managed(environ: Mapping[str, str]) -> bool:
    """Whether the standard output of this process goes to the journal of systemd."""
    return "NOTIFY_SOCKET" in environ and "JOURNAL_STREAM" in environ


def watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """How often the watchdog is fed: twice in its time. None if it is not for this process."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        limit = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return limit / _MICROSECONDS / 2 if limit > 0 else None


@contextmanager
def watched(loop: asyncio.AbstractEventLoop, environ: Mapping[str, str]) -> Iterator[None]:
    """Feed the watchdog from the event loop while the block runs, then announce the stop.

    A loop that hangs feeds nothing, and systemd restarts the service.
    """
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
