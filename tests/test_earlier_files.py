# SPDX-License-Identifier: BSD-3-Clause
"""Files that an earlier version made still work: a settings file, and a history file.

`tests/earlier` was made by the version of 2026-11-28: the settings by `aiot config --show`, the
history by `aiot run` with one simulated WebSocket node.
"""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pyaiot import config
from pyaiot.app import protocols as _protocols  # noqa: F401 - adds the settings of the protocols
from pyaiot.messages import Reading
from tests.history.files import query_store
from tests.history.recorders import until
from tests.history.test_lost_store import recording

EARLIER = Path(__file__).parent / "earlier"


def test_every_setting_of_an_earlier_version_still_has_its_effect() -> None:
    path = EARLIER / "config.toml"
    loaded, _ = config.load(path, {}, {})
    for table, settings in tomllib.loads(path.read_text("utf-8")).items():
        section: Any = getattr(loaded, table, None)
        if section is None:
            section = next(part for part in loaded.protocols if part.table == table)
        for name, value in settings.items():
            held = getattr(section, name)
            assert (list(held) if isinstance(held, tuple) else held) == value, f"{table}.{name}"


@pytest.fixture
def history_file(tmp_path: Path) -> Path:
    path = tmp_path / "history.db"
    shutil.copy(EARLIER / "history.db", path)
    return path


def test_history_file_of_an_earlier_version_is_read(history_file: Path) -> None:
    page = query_store(history_file, lambda history: history.readings("kept", "temperature"))
    assert [(row.ts, row.number, row.unit) for row in page.rows] == [
        (1795973750.24337, 24.7, "Cel"),
        (1795973750.887433, 24.5, "Cel"),
    ]


def test_history_file_of_an_earlier_version_is_continued(history_file: Path) -> None:
    with recording(str(history_file)) as recorder:
        recorder.message_published(Reading.received("kept", "temperature", 19, 1795973760.0))
        until(lambda: recorder.recorded)
    page = query_store(history_file, lambda history: history.readings("kept", "temperature"))
    assert [row.number for row in page.rows] == [24.7, 24.5, 19]
