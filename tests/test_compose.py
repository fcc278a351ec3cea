# SPDX-License-Identifier: BSD-3-Clause
"""The compose files name commands, flags, settings and volumes that exist."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pyaiot import config
from scripts.reference.commands import commands
from tests.documents import ROOT

FILES = sorted((ROOT / "deploy" / "compose").glob("*.yaml"))
COMMANDS = {
    command.name.removeprefix("aiot "): {
        name for option in command.options for name in option.names
    }
    for command in commands()
}


def services(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["services"]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_commands_flags_and_settings_exist(path: Path) -> None:
    variables = {setting.variable for setting in config.settings()} | {"PGPASSWORD"}
    checked = 0
    for service in services(path).values():
        if service["image"] != "pyaiot":
            continue
        assert set(service.get("environment", ())) <= variables
        if "command" in service:
            name, *words = service["command"]
            flags = {word for word in words if word.startswith("--")}
            assert flags <= COMMANDS[name], flags - COMMANDS[name]
            checked += 1
    assert checked or path.name == "everything.yaml"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_a_service_needs_is_there(path: Path) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    for service in document["services"].values():
        assert set(service.get("depends_on", ())) <= set(document["services"])
        mounted = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert {name for name in mounted if name[0] not in "./"} <= set(document["volumes"])
