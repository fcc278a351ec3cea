# SPDX-License-Identifier: BSD-3-Clause
"""Recorders for tests, which write to a store in their thread."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from pyaiot.history import recorder as recorder_module
from pyaiot.history.recorder import Recorder
from pyaiot.history.store import Store

LIMIT_S: Final = 20.0


def retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let recorders retry a failed store at once."""
    monkeypatch.setattr(recorder_module, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(recorder_module, "RETRY_MAX_S", 0.02)


@contextlib.contextmanager
def running_recorder(store: Store, **options: Any) -> Iterator[Recorder]:
    """A recorder with these options of `Recorder`, which has been started."""
    store.claim()
    recorder = Recorder(store, **options)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.close()
        store.release()


def until(true: Callable[[], object]) -> None:
    """Wait until another thread makes the condition true."""
    limit = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.002)
