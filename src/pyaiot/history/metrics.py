# SPDX-License-Identifier: BSD-3-Clause
"""What there is to measure of a history."""

from collections.abc import Iterable
from typing import Final

from pyaiot.history.recorder import QUEUE_MAX, Recorder
from pyaiot.metrics import Metric, Sample

RECORDED: Final = Metric(
    "pyaiot_history_recorded", "counter", "Messages that are kept for good: committed."
)
DROPPED: Final = Metric(
    "pyaiot_history_dropped",
    "counter",
    "Messages that are not in the history: the queue was full, or the store refused them.",
    {"reason": ("queue full", "refused")},
)
QUEUE: Final = Metric("pyaiot_history_queue_messages", "gauge", "Messages that wait to be written.")
QUEUE_LIMIT: Final = Metric(
    "pyaiot_history_queue_limit_messages", "gauge", "Messages that may wait. One more is dropped."
)
WELL: Final = Metric(
    "pyaiot_history_well", "gauge", "1: what is said is being kept. 0: it is not; /readyz says why."
)
FAILURES: Final = Metric(
    "pyaiot_history_failures", "counter", "Times that the store failed; it is tried again."
)
COMMIT_TIME: Final = Metric(
    "pyaiot_history_commit_seconds", "histogram", "How long a commit took, with its rows."
)


def measure(recorder: Recorder) -> Iterable[Sample]:
    """Everything above, as it is now. A thread counts meanwhile: sums may be one commit apart."""
    yield RECORDED.of(recorder.recorded)
    yield DROPPED.of(recorder.did_not_fit, reason="queue full")
    yield DROPPED.of(recorder.refused, reason="refused")
    yield QUEUE.of(recorder.waiting)
    yield QUEUE_LIMIT.of(QUEUE_MAX)
    yield WELL.of(not recorder.problem())
    yield FAILURES.of(recorder.failures)
    yield COMMIT_TIME.of(recorder.commit_seconds)
