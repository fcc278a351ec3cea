# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the history."""

from collections.abc import Iterable
from typing import Final

from pyaiot.history.recorder import QUEUE_MAX, Recorder
from pyaiot.metrics import Metric, Sample

RECORDED: Final = Metric(
    "pyaiot_history_recorded", "counter", "Messages that are committed to the store."
)
DROPPED: Final = Metric(
    "pyaiot_history_dropped",
    "counter",
    "Messages that are not in the history, because the queue was full or the store refused them.",
    {"reason": ("queue full", "refused")},
)
QUEUE: Final = Metric(
    "pyaiot_history_queue_messages", "gauge", "Messages in the queue of the recorder."
)
QUEUE_LIMIT: Final = Metric(
    "pyaiot_history_queue_limit_messages",
    "gauge",
    "Capacity of the queue. Messages beyond it are dropped.",
)
WELL: Final = Metric(
    "pyaiot_history_well",
    "gauge",
    "1: messages are being recorded. 0: they are not; /readyz has the reason.",
)
FAILURES: Final = Metric(
    "pyaiot_history_failures", "counter", "Failures of the store. The recorder retries."
)
COMMIT_TIME: Final = Metric(
    "pyaiot_history_commit_seconds",
    "histogram",
    "Duration of a commit, including the insertion of its rows.",
)


def collect(recorder: Recorder) -> Iterable[Sample]:
    """Samples of all these metrics. The recorder runs in a thread, so they may differ by one
    commit."""
    yield RECORDED.of(recorder.recorded)
    yield DROPPED.of(recorder.overflowed, reason="queue full")
    yield DROPPED.of(recorder.refused, reason="refused")
    yield QUEUE.of(recorder.waiting)
    yield QUEUE_LIMIT.of(QUEUE_MAX)
    yield WELL.of(not recorder.problem())
    yield FAILURES.of(recorder.failures)
    yield COMMIT_TIME.of(recorder.commit_seconds)
