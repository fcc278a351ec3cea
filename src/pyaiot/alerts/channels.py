# SPDX-License-Identifier: BSD-3-Clause
"""Sends notices to notification channels through Apprise, which supports many services."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from pyaiot.alerts.alert import Alert
from pyaiot.alerts.notices import Notice, NoticeQueue
from pyaiot.alerts.watches import Phase
from pyaiot.errors import OperatorError, PyaiotError

SEND_LIMIT_S: Final = 30.0
"""Timeout for sending one notice. After it the attempt has failed."""
SENDING_MAX: Final = 8
"""Number of notices that are sent concurrently. Others wait."""

log = logging.getLogger(__name__)


class NotSent(PyaiotError):
    """The service did not accept the notice. The text gives the reason, never the URL."""


class Sender(Protocol):
    """Sends a notice to the service behind a URL. Raises `NotSent`."""

    async def send(self, url: str, notice: Notice) -> None: ...


class AppriseSender:
    """A `Sender` that uses Apprise on threads, because its services block."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(SENDING_MAX, "alerts")

    async def send(self, url: str, notice: Notice) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                problem = await loop.run_in_executor(self._threads, _send, url, notice)
        except TimeoutError as error:
            raise NotSent(f"the service did not answer within {SEND_LIMIT_S:.0f} s") from error
        if problem:
            raise NotSent(problem)


def check_channels(channels: Mapping[str, str]) -> None:
    """Raise `OperatorError` if Apprise does not recognise a URL, or is not installed. The text
    names the channel, never the URL.
    """
    if not channels:
        return
    apprise = _apprise()
    for name, url in channels.items():
        if not apprise.Apprise().add(url):
            raise OperatorError(
                f"Apprise does not support the URL of the channel {name}, or a part of the URL is"
                " missing."
            )


def _apprise() -> Any:
    try:
        import apprise  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise OperatorError("Channels of alerts need Apprise: install pyaiot[alerts].") from error
    # Apprise logs URLs, which contain passwords.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    return apprise


def _send(url: str, notice: Notice) -> str:
    """Send a notice. Return the reason of a failure; empty if it was sent."""
    apprise = _apprise()
    kinds = {"critical": "failure", "warning": "warning", "info": "info"}
    target = apprise.Apprise()
    if not target.add(url):
        return "Apprise does not support the URL"
    kind = kinds[notice.severity]
    try:
        sent = target.notify(title=notice.title, body=notice.body, notify_type=kind)
    except (OSError, TypeError, ValueError) as error:
        # The text may contain the URL, and with it a password.
        return f"the code of the service raised {type(error).__name__}"
    return "" if sent else "the service did not accept it"


class Channels:
    """The configured channels, each with a queue. Must be used on the broker's event loop."""

    def __init__(self, sender: Sender, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self.queues: dict[str, NoticeQueue] = {}
        self._urls: Mapping[str, str] = {}
        self._sender = sender
        self._clock = clock
        self._wanted = asyncio.Event()
        self._sending: dict[str, asyncio.Task[None]] = {}

    def set_urls(self, urls: Mapping[str, str]) -> None:
        """Replace the channels. A channel that remains keeps its queue."""
        self._urls = dict(urls)
        self.queues = {name: self.queues.get(name) or NoticeQueue() for name in urls}
        self._wanted.set()

    def add(self, names: tuple[str, ...], phase: Phase, alert: Alert) -> None:
        """Queue a notice for the named channels; without names, for all. Unknown names are
        ignored.
        """
        for name in names or self.queues:
            if name in self.queues:
                self.queues[name].add(phase, alert)
        self._wanted.set()

    async def test(self, name: str) -> None:
        """Send a test notice now. Raises `NotSent`, or `KeyError` for an unknown channel."""
        notice = Notice("Test of Pyaiot", f"The channel {name} works.", "info")
        await self._sender.send(self._urls[name], notice)

    async def run(self) -> None:
        """Send notices until cancelled."""
        try:
            while True:
                self._wanted.clear()
                timers = [
                    timer
                    for name, queue in self.queues.items()
                    if name not in self._sending and (timer := queue.get_timer()) is not None
                ]
                due = min(timers, default=None)
                try:
                    timeout = None if due is None else max(0.0, due - self._clock())
                    async with asyncio.timeout(timeout):
                        await self._wanted.wait()
                except TimeoutError:
                    self._start_due()
        finally:
            for task in self._sending.values():
                task.cancel()

    def _start_due(self) -> None:
        for name, queue in self.queues.items():
            if name in self._sending:
                continue
            notice = queue.take(self._clock())
            if notice is not None:
                task = asyncio.create_task(self._send(name, queue, notice), name=f"alert {name}")
                self._sending[name] = task

    async def _send(self, name: str, queue: NoticeQueue, notice: Notice) -> None:
        try:
            await self._sender.send(self._urls[name], notice)
        except NotSent as error:
            if not queue.problem:
                log.warning("channel %s: a notice was not sent: %s", name, error)
            queue.failed_at(notice, str(error), self._clock())
        else:
            if queue.problem:
                log.info("channel %s: notices are sent again", name)
            queue.sent_at(self._clock())
        finally:
            self._sending.pop(name, None)
            self._wanted.set()
