# SPDX-License-Identifier: BSD-3-Clause
"""Installation from a wheelhouse, without network: on a machine by pip, and here by uv and pipx."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import page
from tests.machines.conftest import RELEASES
from tests.machines.machine import Machine
from tests.machines.wheels import made_wheelhouse
from tests.tools import tool

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the wheels are for x86-64"),
    pytest.mark.skipif(not page.is_built(), reason="the dashboard is not built"),
]


def test_service_of_a_wheel_is_installed_by_two_commands(machine: Machine, wheels: Path) -> None:
    machine.run("mkdir -p /srv/wheelhouse")
    for wheel in wheels.iterdir():
        machine.put(wheel, f"/srv/wheelhouse/{wheel.name}")
    machine.run("python3 -m venv /opt/pyaiot")
    pip = "/opt/pyaiot/bin/pip install --quiet --no-index --find-links /srv/wheelhouse"
    machine.run(f"{pip} pyaiot")
    machine.run("/opt/pyaiot/bin/aiot service install")
    machine.run("/opt/pyaiot/bin/aiot health")
    machine.run("/opt/pyaiot/bin/aiot service uninstall --purge")
    assert machine.output_of("ls /etc/systemd/system | grep -c aiot") == "0"


@pytest.fixture(scope="module")
def wheels_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheelhouse for this machine and this Python."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return made_wheelhouse(tmp_path_factory.mktemp("wheelhouse"), python)


def install(command: list[str | Path], home: Path, **variables: Path) -> None:
    """Run an installation with its own home, and look at the program that it put there."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    environment |= {name: str(value) for name, value in variables.items()}
    subprocess.run(command, env=environment, check=True, timeout=120)
    shown = subprocess.run(
        [home / "bin" / "aiot", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("pyaiot ")


def test_uv_installs_the_tool_without_network(wheels_here: Path, tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    install(
        [
            *(uv, "tool", "install", "--quiet", "--offline", "--no-index"),
            *("--python", sys.executable, "--find-links", wheels_here, "pyaiot"),
        ],
        tmp_path,
        UV_TOOL_DIR=tmp_path / "tools",
        UV_TOOL_BIN_DIR=tmp_path / "bin",
    )


@pytest.mark.skipif(RELEASES == [""], reason="takes 10 s; set PYAIOT_TEST_DEBIANS")
def test_pipx_installs_the_tool_without_network(wheels_here: Path, tmp_path: Path) -> None:
    pipx = tool("pipx")
    words = f"--no-index --find-links {wheels_here}"
    install(
        [
            *(pipx, "install", "--quiet", "--python", sys.executable, "--backend", "pip"),
            *("--pip-args", words, "pyaiot"),
        ],
        tmp_path,
        PIPX_HOME=tmp_path / "tools",
        PIPX_BIN_DIR=tmp_path / "bin",
    )
