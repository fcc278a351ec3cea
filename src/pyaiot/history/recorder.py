# SPDX-License-Identifier: BSD-3-Clause
"""The recorder: hears what the broker says, and keeps it. It never holds the broker up.

The broker's loop puts messages into a queue; a thread of the recorder's own gathers them for at
most `COMMIT_INTERVAL_S` and writes what has come in one transaction. A store that fails is tried
again and again. What does not fit into the queue meanwhile is lost, counted, and told by a row
`gap` as soon as there is one who can write it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from pyaiot.backlog import cost
from pyaiot.history.clock import HistoryClock
from pyaiot.history.rows import (
    MICROSECONDS,
    Batch,
    CommandEnded,
    CommandGiven,
    GapOfGateway,
    Item,
    NewEvent,
    batch_of,
)
from pyaiot.history.store import RowsRefused, Store, StoreError, StoreReplaced, Writer
from pyaiot.messages import Command, Reading, ReadingsDropped, Receipt, ToClient
from pyaiot.metrics import Histogram

QUEUE_MAX: Final = 50_000
"""Messages that wait to be written. One more is lost, counted, and told as a gap."""
QUEUE_COST_MAX: Final = 32 * 1024 * 1024
"""Bytes of long values that wait to be written. One more of these is lost as well."""
BATCH_MAX: Final = 5_000
"""Messages in one transaction."""
COMMIT_INTERVAL_S: Final = 0.020
"""What has come within this time of the first message is written together."""
MESSAGES_PER_S: Final = 25_000.0
"""What is written at most, sustained: recording shares a processor with the road, which goes first.
What comes faster waits in the queue."""
RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 10.0
"""Between two tries to open a store that failed: the first pause, doubled up to the longest."""
TIDY_INTERVAL_S: Final = 10.0
"""Between two looks for what is to be downsampled or trimmed, and whether what was written last can
be read."""
REPLACED_GAP_MAX_S: Final = 86_400.0
"""A store that was taken away is told as a gap of so long at most, however long it was written."""
TIDY_SHARE: Final = 0.2
"""Of its time, the recorder spends at most so much on that while it is behind with it."""
CLOSE_LIMIT_S: Final = 1.5
"""What still waits when the service ends is written within this time, or lost."""

OPEN_LIMIT_S: Final = 0.5
"""How long the start of a service waits for its history to open. It goes on without."""

_SHORT_LENGTH: Final = 256
_SHORT_TYPES: Final = frozenset({float, int, bool, type(None)})

log = logging.getLogger(__name__)


def boot_time() -> float:
    """Seconds that nobody sets, and that go on while the machine sleeps, where there are such."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Recorder:
    """Hears everything on one loop, and writes it on one thread. See `start` and `close`."""

    def __init__(
        self,
        store: Store,
        *,
        unix_time: Callable[[], float] = time.time,
        steady_time: Callable[[], float] = boot_time,
        committed: Callable[[int], None] | None = None,
    ) -> None:
        """`steady_time` runs evenly, whatever is done to `unix_time`.

        `committed` is called on the recorder's thread, with `recorded` after each commit.
        """
        self.commands_heard = 0
        """Commands, receipts and gaps of gateways that were heard, ever."""
        self.recorded = 0
        """Messages that are kept for good, in the order in which they were heard."""
        self.did_not_fit = 0
        """Messages that were lost because the queue was full, or the recorder ended."""
        self.refused = 0
        """Messages that the store refused."""
        self.failures = 0
        """Times that the store failed."""
        self.tidied = 0
        """Times that it was looked what is to be downsampled or trimmed."""
        self.commit_seconds = Histogram()
        self.clock = HistoryClock()
        """Read by the recorder's thread alone."""
        self._store = store
        self._unix_time = unix_time
        self._steady_time = steady_time
        self._clock_is_open = False
        self._committed = committed
        self._queue: deque[Item] = deque()
        # Each count has one thread that writes it, so that nobody needs a lock.
        self._cost_in = 0
        self._cost_out = 0
        self._dropped_since = 0.0
        self._dropped_until = 0.0
        self._dropped_told = 0
        self._held: tuple[Batch, int] | None = None
        """What is being written, and the value of `dropped` that it tells."""
        self._writer: Writer | None = None
        self._opened = 0.0, 0
        """The time when the store was opened, and the value of `recorded` then."""
        self._replaced: NewEvent | None = None
        """The gap that a store left that was taken away."""
        self._verify_at = 0.0
        self._wake = threading.Event()
        self._asleep = False
        self._stopping = threading.Event()
        self._problem = "is not open yet"
        self._tried = threading.Event()
        self._tidy_at = 0.0
        self._rest_until = 0.0
        self._thread: threading.Thread | None = None

    # -- on the loop ------------------------------------------------------------------------

    def heard(self, message: ToClient) -> None:
        """The broker says this to everybody."""
        # The hot line of the road: `_add` is written out rather than called.
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

    def command_given(self, command: Command, ts: float) -> None:
        """The broker sends this to a gateway."""
        self._add(CommandGiven(command, ts))

    def command_ended(self, command: Command, receipt: Receipt, ts: float) -> None:
        """A command has its receipt; its id is empty if it was never sent."""
        self._add(CommandEnded(command, receipt, ts))

    def gap_told(self, gateway: str, gap: ReadingsDropped) -> None:
        """A gateway has lost readings."""
        self._add(GapOfGateway(gateway, gap))

    @property
    def dropped(self) -> int:
        """Messages that were lost: the queue was full, the store refused them, or it ended."""
        return self.did_not_fit + self.refused

    @property
    def waiting(self) -> int:
        """Messages that are heard and not yet being written."""
        return len(self._queue)

    def problem(self) -> str:
        """What keeps it from recording now, or nothing."""
        problem = self._problem
        if not problem and self._writer is not None:
            problem = self._writer.place_problem()
        untold = self.dropped - self._dropped_told
        return f"{problem}; {untold} messages are lost so far" if problem and untold else problem

    def start(self) -> None:
        """Begin to write, on a thread that ends with `close`."""
        self._thread = threading.Thread(target=self._run, name="history recorder", daemon=True)
        self._thread.start()

    def wait_tried(self) -> None:
        """Return when the store is open, or has failed to, or is slow; see `problem` then."""
        self._tried.wait(OPEN_LIMIT_S)

    def close(self) -> None:
        """Write what waits, and end. Takes `CLOSE_LIMIT_S` at most; what is left then is lost."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_LIMIT_S)
        held = self._held[0].messages if self._held else 0
        if left := len(self._queue) + held:
            self.did_not_fit += left
            log.error("%d messages are not in the history: %s", left, self._problem or "no time")

    def _add(self, item: Item) -> None:
        self.commands_heard += 1
        if len(self._queue) >= QUEUE_MAX:
            self._drop()
            return
        self._queue.append(item)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def _has_room(self, reading: Reading) -> bool:
        """Whether a value that is not short fits; from now on it counts."""
        its_cost = _long_cost(reading)
        if its_cost and self._cost_in - self._cost_out + its_cost > QUEUE_COST_MAX:
            return False
        self._cost_in += its_cost
        return True

    def _drop(self) -> None:
        self._dropped_until = self._unix_time()
        if self.dropped == self._dropped_told:
            self._dropped_since = self._dropped_until
        self.did_not_fit += 1

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
                    self._tried.set()
                if self.recorded > recorded:
                    pause_s = RETRY_FIRST_S
                if self._stopping.wait(pause_s):
                    return
                pause_s = min(RETRY_MAX_S, pause_s * 2)
        finally:
            self._problem = self._problem or "the recorder has ended"

    def _record(self) -> None:
        """Write until stopped. Raises `StoreError`; what was being written is held then."""
        writer = self._store.open_writer()
        try:
            self._open_clock(writer)
            self._write(writer, self._note("started", self._replaced))
            self._replaced = None
            self._opened = self.clock.now, self.recorded
            self._writer = writer
            if self._problem:
                log.info("history is kept in %s", self._store.name)
            self._problem = ""
            self._tried.set()
            self._tidy_at = time.monotonic() + TIDY_INTERVAL_S
            while not (self._stopping.is_set() and not self._queue and self._held is None):
                self._gather()
                self._write(writer, self._next_batch())
                self._tidy(writer)
            self._write(writer, self._note("stopped"))
            writer.save_clock(self.clock.state)
        finally:
            self._writer = None
            writer.close()

    def _gather(self) -> None:
        """Wait until something has come, and for a moment longer, for what comes with it."""
        if self._held is not None:
            return
        if not self._queue:
            self._wake.clear()
            self._asleep = True
            # Once more, for who looked a moment before.
            if not self._queue and not self._stopping.is_set():
                self._wake.wait(max(0.0, self._tidy_at - time.monotonic()))
        rest_s = self._rest_until - time.monotonic()
        if self._queue and len(self._queue) < BATCH_MAX:
            rest_s = max(rest_s, COMMIT_INTERVAL_S)
        if rest_s > 0:
            self._stopping.wait(rest_s)

    def _next_batch(self) -> Batch:
        take = self._queue.popleft
        items = [take() for _ in range(min(len(self._queue), BATCH_MAX))]
        self._rest_until = time.monotonic() + len(items) / MESSAGES_PER_S
        if self._cost_in != self._cost_out:
            self._cost_out += sum(map(_long_cost, items))
        clock = self._read_clock()
        return batch_of(items, now=clock.now, sure_since=clock.sure_since, moment=clock.moment)

    def _open_clock(self, writer: Writer) -> None:
        if not self._clock_is_open:
            self.clock.open(self._unix_time(), self._steady_time(), writer.clock_state())
            self._clock_is_open = True

    def _read_clock(self) -> HistoryClock:
        self.clock.read(self._unix_time(), self._steady_time())
        return self.clock

    def _note(self, kind: str, gap: NewEvent | None = None) -> Batch:
        """A row of the recorder's own, after one that says what is missing before it."""
        event = NewEvent(int(self._read_clock().now * MICROSECONDS), kind)
        return Batch(events=[event] if gap is None else [gap, event])

    def _note_replaced(self, problem: str) -> None:
        """What was recorded since the store was opened is not in the one that comes."""
        opened, recorded = self._opened
        now = self.clock.now
        lost = self.recorded - recorded + (self._replaced.lost if self._replaced else 0)
        # Readers of events who come back look a day before at most.
        since = max(opened, now - REPLACED_GAP_MAX_S)
        log.warning("%d messages went with the history", lost)
        self._replaced = NewEvent(
            int(since * MICROSECONDS),
            "gap",
            detail=problem,
            until=int(now * MICROSECONDS),
            lost=lost,
        )
        self._opened = now, self.recorded

    def _write(self, writer: Writer, batch: Batch) -> None:
        if self._held is not None:
            held, told = self._held
            self._keep(writer, held, told)
        told = self.dropped
        if told > self._dropped_told:
            batch.events.append(self._gap(told))
        if batch.readings or batch.events or batch.commands:
            self._held = batch, told
            self._keep(writer, batch, told)

    def _keep(self, writer: Writer, batch: Batch, told: int) -> None:
        began = time.monotonic()
        try:
            writer.write(batch, self.clock.trusted)
        except RowsRefused as error:
            self._held = None
            self._dropped_since = self._dropped_until = self._unix_time()
            self.refused += batch.messages
            log.error("history: %s", error)  # noqa: TRY400 - the sentence is enough
            return
        self._held = None
        self.commit_seconds.observe(time.monotonic() - began)
        self._dropped_told = told
        self.recorded += batch.messages
        if self._committed is not None and batch.messages:
            self._committed(self.recorded)

    def _gap(self, told: int) -> NewEvent:
        lost = told - self._dropped_told
        since, until = self._dropped_since or self._dropped_until, self._dropped_until
        log.warning("%d messages are not in the history", lost)
        return NewEvent(
            int(self.clock.moment(since) * MICROSECONDS),
            "gap",
            detail=self._problem or "more came than could be written",
            until=int(self.clock.moment(until) * MICROSECONDS),
            lost=lost,
        )

    def _tidy(self, writer: Writer) -> None:
        began = time.monotonic()
        if began < self._tidy_at:
            return
        clock = self._read_clock()
        if began >= self._verify_at:
            writer.verify(clock.retention_now)
            self._verify_at = began + TIDY_INTERVAL_S
        more = writer.tidy(clock.now, retention_now=clock.retention_now)
        if state := clock.state_to_save():
            writer.save_clock(state)
            clock.saved()
        self.tidied += 1
        ended = time.monotonic()
        rest_s = (ended - began) * (1 / TIDY_SHARE - 1)
        self._tidy_at = ended + (rest_s if more else TIDY_INTERVAL_S)


def _long_cost(item: Item) -> int:
    """Bytes of a value that is counted beside the number of messages; 0 for a short one."""
    if not isinstance(item, Reading):
        return 0
    data = item.data
    is_short = len(data) <= _SHORT_LENGTH if type(data) is str else type(data) in _SHORT_TYPES
    return 0 if is_short else cost(item)
