# SPDX-License-Identifier: BSD-3-Clause
"""docs/reference/settings.md, from `pyaiot.config` and the flags of the commands."""

import inspect
from collections import defaultdict
from typing import Final

from pyaiot import config
from scripts.reference.commands import commands
from scripts.reference.describe import kind, limit, shown, table

INTRODUCTION: Final = """\
# Settings

<!-- Written by scripts/generate-docs from src/pyaiot/config. -->

Every setting has a working default. A flag overrides the environment, the environment overrides the
file, and the file overrides the default. Unknown names are refused with an error that names their
place. `aiot config --show` prints every value and its origin.

The file is TOML; each section below is a table. Its path is `--config`, else `AIOT_CONFIG`, else
`~/.config/pyaiot/config.toml` if it exists (`$XDG_CONFIG_HOME` is respected). In the environment
and in flags, the items of a list are separated by commas; those of a table are written `key=value`.
"""


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION]
    flags = flags_of_settings()
    for name, section in config.sections().items():
        rows = []
        for setting in config.settings_of(section, name):
            allowed = limit(setting.type)
            meaning = setting.description + (f" ({allowed})" if allowed else "")
            rows.append(
                (
                    f"`{setting.name}`",
                    kind(setting.type),
                    shown(setting.default),
                    f"`{setting.variable}`",
                    _flags(flags[setting.key]),
                    meaning,
                )
            )
        parts.append(f"## `[{name}]`\n\n{inspect.getdoc(section)}\n")
        parts.append(table(("key", "type", "default", "environment", "flags", "meaning"), rows))
    return "\n".join(parts)


def flags_of_settings() -> dict[str, dict[str, tuple[str, ...]]]:
    """For each setting, its flags by command."""
    found: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for command in commands():
        for option in command.options:
            for key in option.settings:
                found[key][command.name] = option.names
    return found


def _flags(by_command: dict[str, tuple[str, ...]]) -> str:
    """Flags, and the commands that have them; a setting may have none."""
    by_names: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for command, names in by_command.items():
        by_names[names].append(command.removeprefix("aiot "))
    return "; ".join(
        f"{' '.join(f'`{name}`' for name in names)} ({', '.join(of)})"
        for names, of in by_names.items()
    )
