# SPDX-License-Identifier: BSD-3-Clause
"""Locates the data of a system, from its settings."""

import os
from pathlib import Path

from pyaiot.app import protocols as _protocols  # noqa: F401 - adds the settings of the protocols
from pyaiot.backup.parts import Part, parts
from pyaiot.config import Config


def parts_of(settings: Config, settings_file: Path) -> list[Part]:
    """All parts of the system on this machine, including those that do not exist yet."""
    return parts(settings, os.environ, settings_file)
