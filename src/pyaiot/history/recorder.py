# SPDX-License-Identifier: BSD-3-Clause
"""The recorder: writes the messages of the broker into a store. It never blocks the broker.

The broker's loop appends messages to a queue. The recorder's thread collects them for at most
`COMMIT_INTERVAL_S` and writes them in one transaction. If the store fails, it is retried. Messages
that do not fit into the queue in the meantime are dropped, counted, and recorded as an event `gap`
as soon as the store is writable.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.backlog import cost
from pyaiot.history.clock import HistoryClock
from pyaiot.history.disk_space import CHECK_INTERVAL_S, DiskSpace
from pyaiot.history.progress import ReadingAges
from pyaiot.history.rows import (
    MICROSECONDS,
    CommandEnded,
    CommandIssued,
    GatewayGap,
    Item,
    NewEvent,
    WriteBatch,
    batch_of,
)
from pyaiot.history.store import RowsRefused, Store, StoreError, StoreReplaced, Writer
from pyaiot.history.time_sources import TimeSources, boot_time
from pyaiot.messages import Command, Reading, ReadingsDropped, Receipt, ToClient
from pyaiot.metrics import Histogram

QUEUE_MAX: Final = 50_000
"""Largest number of messages in the queue. Further ones are dropped, counted, and recorded as a
gap."""
QUEUE_COST_MAX: Final = 32 * 1024 * 1024
"""Largest total size of long values in the queue, in bytes. Beyond it, messages with long values
are dropped as well."""
BATCH_MAX: Final = 5_000
"""Largest number of messages in one transaction."""
COMMIT_INTERVAL_S: Final = 0.020
"""Messages that arrive within this time after the first one are written together."""
MESSAGES_PER_S: Final = 25_000.0
"""Largest sustained write rate: the recorder shares a processor with the broker, which has
priority. Further messages wait in the queue."""
RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 10.0
"""First and longest delay before the next attempt to open a store that failed. It is doubled each
time."""
RETENTION_INTERVAL_S: Final = 10.0
"""Interval between runs of downsampling and retention, and between two checks of the last row."""
REPLACED_GAP_MAX_S: Final = 86_400.0
"""Longest gap that is recorded for a store that was deleted, no matter how long it was written."""
RETENTION_SHARE: Final = 0.2
"""The share of its time that the recorder spends on overdue retention."""
CLOSE_LIMIT_S: Final = 1.5
"""Time to write the queue when the service ends. The rest is lost."""

OPEN_LIMIT_S: Final = 0.5
"""How long the start of a service waits until its history is open. After that it starts anyway."""

_SHORT_LENGTH: Final = 256
_SHORT_TYPES: Final = frozenset({float, int, bool, type(None)})

log = logging.getLogger(__name__)


class Recorder:
    """Receives messages on one loop and writes them on one thread. See `start` and `close`."""

    def __init__(
        self,
        store: Store,
        *,
        unix_time: Callable[[], float] = time.time,
        steady_time: Callable[[], float] = boot_time,
        committed: Callable[[int], None] | None = None,
        disk: DiskSpace | None = None,
    ) -> None:
        """`steady_time` is monotonic, independent of `unix_time`. `disk` None: the store is not on
        a disk of this machine. `committed` is called in the recorder's thread after each commit,
        with `recorded`."""
        self.commands_received = 0
        """Number of commands, receipts and gaps of gateways received."""
        self.recorded = 0
        """Number of committed messages, in the order of arrival."""
        self.overflowed = 0
        """Number of messages that were lost because the queue was full or the recorder ended."""
        self.refused = 0
        """Number of messages that the store refused."""
        self.failures = 0
        """Number of failures of the store."""
        self.retention_runs = 0
        """Number of completed runs of `Writer.run_retention`."""
        self.commit_seconds = Histogram()
        self.lateness = ReadingAges()
        """The ages of readings when they were written. Only the recorder's thread writes it."""
        self.clock = HistoryClock()
        """Only the recorder's thread updates it."""
        self._store = store
        self._unix_time = unix_time
        self._steady_time = steady_time
        self._sources = TimeSources(unix_time, steady_time)
        self._clock_is_open = False
        self._committed = committed
        self._disk = disk
        self._paused = ""
        """Why recording is or was last paused. Cleared when the gap of the pause is recorded."""
        self._queue: deque[Item] = deque()
        # Only one thread writes each counter, so no lock is needed.
        self._cost_in = 0
        self._cost_out = 0
        self._dropped_since = 0.0
        self._dropped_until = 0.0
        self._dropped_reported = 0
        self._pending: tuple[WriteBatch, int] | None = None
        """The batch that is being written, and the value of `dropped` that it reports."""
        self._writer: Writer | None = None
        self._opened = 0.0, 0
        """When the store was opened, and the value of `recorded` at that time."""
        self._replaced: NewEvent | None = None
        """The gap to record because the store was deleted or replaced."""
        self._verify_at = 0.0
        self._wake = threading.Event()
        self._asleep = False
        self._stopping = threading.Event()
        self._problem = "is not open yet"
        self._open_attempted = threading.Event()
        self._retention_at = 0.0
        self._rest_until = 0.0
        self._thread: threading.Thread | None = None

    # -- on the loop ------------------------------------------------------------------------

    def message_published(self, message: ToClient) -> None:
        """The broker publishes a message."""
        # The hot path: `_add` is inlined.
        if type(message) is Reading:
            data = message.data
            if (type(data) is not str or len(data) > _SHORT_LENGTH) and not self._has_room(message):
                self._drop()
                return
        queue = self._queue
        if len(queue) >= QUEUE_MAX:
            self._drop()
            return
        queue.append(message)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def readings_published(self, readings: Sequence[Reading]) -> None:
        """The broker publishes these readings."""
        queue = self._queue
        has_long = [
            it for it in readings if type(it.data) is not str or len(it.data) > _SHORT_LENGTH
        ]
        if has_long or len(queue) + len(readings) > QUEUE_MAX:
            for reading in readings:
                self.message_published(reading)
            return
        queue.extend(readings)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def command_sent(self, command: Command, ts: float, who: str = "") -> None:
        """The broker sends a command to its gateway."""
        self._add(CommandIssued(command, ts, who))

    def command_ended(self, command: Command, receipt: Receipt, ts: float, who: str = "") -> None:
        """Record the receipt of a command. The command has no id if it was not sent."""
        self._add(CommandEnded(command, receipt, ts, who))

    def gap_reported(self, gateway: str, gap: ReadingsDropped) -> None:
        """Record that a gateway dropped readings."""
        self._add(GatewayGap(gateway, gap))

    @property
    def dropped(self) -> int:
        """Number of lost messages: the queue was full, the store refused them, or the recorder
        ended."""
        return self.overflowed + self.refused

    @property
    def waiting(self) -> int:
        """Number of messages in the queue."""
        return len(self._queue)

    def problem(self) -> str:
        """Why nothing is recorded now; empty if messages are recorded."""
        problem = self._problem
        if not problem and self._writer is not None:
            problem = self._writer.location_problem()
        unreported = self.dropped - self._dropped_reported
        return (
            f"{problem}; {unreported} messages lost so far" if problem and unreported else problem
        )

    def start(self) -> None:
        """Start the thread that writes. `close` ends it."""
        self._thread = threading.Thread(target=self._run, name="history recorder", daemon=True)
        self._thread.start()

    def wait_opened(self) -> None:
        """Wait until the store was opened or opening failed, at most `OPEN_LIMIT_S`. After that,
        check `problem`."""
        self._open_attempted.wait(OPEN_LIMIT_S)

    def close(self) -> None:
        """Write the queue and end. Takes at most `CLOSE_LIMIT_S`; messages that are left are
        lost."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_LIMIT_S)
        pending = self._pending[0].messages if self._pending else 0
        if left := len(self._queue) + pending:
            self.overflowed += left
            log.error("%d messages are not in the history: %s", left, self._problem or "no time")

    def _add(self, item: Item) -> None:
        self.commands_received += 1
        if len(self._queue) >= QUEUE_MAX:
            self._drop()
            return
        self._queue.append(item)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def _has_room(self, reading: Reading) -> bool:
        """Whether a long value fits into the queue. If it does, its size is added."""
        its_cost = _long_cost(reading)
        if its_cost and self._cost_in - self._cost_out + its_cost > QUEUE_COST_MAX:
            return False
        self._cost_in += its_cost
        return True

    def _drop(self) -> None:
        self._dropped_until = self._unix_time()
        if self.dropped == self._dropped_reported:
            self._dropped_since = self._dropped_until
        self.overflowed += 1

    # -- on the recorder's thread -----------------------------------------------------------

    def _run(self) -> None:
        pause_s = RETRY_FIRST_S
        try:
            while True:
                try:
                    recorded = self.recorded
                    self._record()
                    return
                except StoreError as error:
                    self.failures += 1
                    if isinstance(error, StoreReplaced):
                        self._note_replaced(str(error))
                    if self._problem != str(error):
                        log.error("history: %s", error)  # noqa: TRY400 - the sentence is enough
                    self._problem = str(error)
                    self._open_attempted.set()
                if self.recorded > recorded:
                    pause_s = RETRY_FIRST_S
                if self._stopping.wait(pause_s):
                    return
                pause_s = min(RETRY_MAX_S, pause_s * 2)
        finally:
            self._problem = self._problem or "the recorder has ended"

    def _record(self) -> None:
        """Write until stopped. Raises `StoreError`; the batch then stays pending."""
        writer = self._store.open_writer()
        try:
            self._open_clock(writer)
            self._write(writer, self._note("started", self._replaced))
            self._replaced = None
            self._opened = self.clock.now, self.recorded
            self._writer = writer
            if self._problem:
                log.info("history is recorded in %s", self._store.name)
            self._problem = ""
            self._open_attempted.set()
            self._retention_at = time.monotonic() + RETENTION_INTERVAL_S
            while not (self._stopping.is_set() and not self._queue and self._pending is None):
                self._gather()
                if self._is_paused(writer):
                    self._stopping.wait(CHECK_INTERVAL_S)
                else:
                    self._write(writer, self._next_batch())
                self._run_retention(writer)
            self._write(writer, self._note("stopped"))
            writer.save_clock(self.clock.state)
        finally:
            self._writer = None
            writer.close()

    def _is_paused(self, writer: Writer) -> bool:
        """Whether the disk is almost full. Messages then wait in the queue, and are finally lost;
        retention continues."""
        if self._disk is None or self._stopping.is_set():
            return False
        problem = self._disk.problem(time.monotonic(), writer.reusable_bytes)
        if problem and not self._problem:
            self._paused = problem
            log.warning("the history %s", problem)
        elif self._problem and not problem:
            log.info("the history is recorded again")
        self._problem = problem
        return bool(problem)

    def _gather(self) -> None:
        """Wait for the first message, and up to `COMMIT_INTERVAL_S` for more."""
        if self._pending is not None:
            return
        if not self._queue:
            self._wake.clear()
            self._asleep = True
            # Checked again: a message may have been added before `_asleep` was set.
            if not self._queue and not self._stopping.is_set():
                self._wake.wait(max(0.0, self._retention_at - time.monotonic()))
        rest_s = self._rest_until - time.monotonic()
        if self._queue and len(self._queue) < BATCH_MAX:
            rest_s = max(rest_s, COMMIT_INTERVAL_S)
        if rest_s > 0:
            self._stopping.wait(rest_s)

    def _next_batch(self) -> WriteBatch:
        take = self._queue.popleft
        items = [take() for _ in range(min(len(self._queue), BATCH_MAX))]
        self._rest_until = time.monotonic() + len(items) / MESSAGES_PER_S
        if self._cost_in != self._cost_out:
            self._cost_out += sum(map(_long_cost, items))
        clock = self._read_clock()
        batch = batch_of(items, now=clock.now, exact_since=clock.exact_since, correct=clock.correct)
        if batch.readings:
            oldest = min(row[1] for row in batch.readings) / MICROSECONDS
            self.lateness.note(clock.now - oldest, self._steady_time())
        return batch

    def _open_clock(self, writer: Writer) -> None:
        self._sources.read_server(writer)
        if not self._clock_is_open:
            wall, steady, own = self._sources.read()
            self.clock.open(wall, steady, writer.clock_state(), own)
            self._clock_is_open = True

    def _read_clock(self) -> HistoryClock:
        self.clock.read(*self._sources.read())
        return self.clock

    def _note(self, kind: str, gap: NewEvent | None = None) -> WriteBatch:
        """Add an event of the recorder itself, preceded by the pending gap, if any."""
        event = NewEvent(int(self._read_clock().now * MICROSECONDS), kind)
        return WriteBatch(events=[event] if gap is None else [gap, event])

    def _note_replaced(self, problem: str) -> None:
        """Rows written since the store was opened are missing in the new store: prepare a gap."""
        opened, recorded = self._opened
        now = self.clock.now
        lost = self.recorded - recorded + (self._replaced.lost if self._replaced else 0)
        # Clients that resume the stream of events look back at most one day.
        since = max(opened, now - REPLACED_GAP_MAX_S)
        log.warning("%d messages were lost with the history", lost)
        self._replaced = NewEvent(
            int(since * MICROSECONDS),
            "gap",
            detail=problem,
            until=int(now * MICROSECONDS),
            lost=lost,
        )
        self._opened = now, self.recorded

    def _write(self, writer: Writer, batch: WriteBatch) -> None:
        if self._pending is not None:
            pending, dropped = self._pending
            self._commit(writer, pending, dropped)
        dropped = self.dropped
        if dropped > self._dropped_reported:
            batch.events.append(self._gap(dropped))
        if batch.readings or batch.events or batch.commands:
            self._pending = batch, dropped
            self._commit(writer, batch, dropped)

    def _commit(self, writer: Writer, batch: WriteBatch, dropped: int) -> None:
        began = time.monotonic()
        try:
            writer.write(batch, self.clock.trusted)
        except RowsRefused as error:
            self._pending = None
            self._dropped_since = self._dropped_until = self._unix_time()
            self.refused += batch.messages
            log.error("history: %s", error)  # noqa: TRY400 - the sentence is enough
            return
        self._pending = None
        self.commit_seconds.observe(time.monotonic() - began)
        self._dropped_reported = dropped
        self._paused = ""
        self.recorded += batch.messages
        if self._committed is not None and batch.messages:
            self._committed(self.recorded)

    def _gap(self, dropped: int) -> NewEvent:
        lost = dropped - self._dropped_reported
        since, until = self._dropped_since or self._dropped_until, self._dropped_until
        log.warning("%d messages are not in the history", lost)
        return NewEvent(
            int(self.clock.correct(since) * MICROSECONDS),
            "gap",
            detail=self._problem
            or self._paused
            or "messages arrived faster than they could be written",
            until=int(self.clock.correct(until) * MICROSECONDS),
            lost=lost,
        )

    def _run_retention(self, writer: Writer) -> None:
        began = time.monotonic()
        if began < self._retention_at:
            return
        self._sources.read_server(writer)
        clock = self._read_clock()
        if began >= self._verify_at:
            writer.verify(clock.retention_now)
            self._verify_at = began + RETENTION_INTERVAL_S
        more = writer.run_retention(clock.now, retention_now=clock.retention_now)
        if state := clock.state_to_save():
            writer.save_clock(state)
            clock.mark_saved()
        self.retention_runs += 1
        ended = time.monotonic()
        rest_s = (ended - began) * (1 / RETENTION_SHARE - 1)
        self._retention_at = ended + (rest_s if more else RETENTION_INTERVAL_S)


def _long_cost(item: Item) -> int:
    """Size in bytes of a long value, which counts towards `QUEUE_COST_MAX`; 0 for a short one."""
    if not isinstance(item, Reading):
        return 0
    data = item.data
    is_short = len(data) <= _SHORT_LENGTH if type(data) is str else type(data) in _SHORT_TYPES
    return 0 if is_short else cost(item)
