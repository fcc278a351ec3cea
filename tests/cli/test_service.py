# SPDX-License-Identifier: BSD-3-Clause
"""`aiot service install`: flags of `aiot run` become settings of the unit."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from pyaiot.cli import service
from pyaiot.errors import OperatorError
from pyaiot.systemd.manager import Manager
from pyaiot.systemd.units import environment_of
from tests.programs import Programs

if TYPE_CHECKING:
    import typer

COMMANDS = ("generate-keys", "broker", "coap-gateway", "mqtt-gateway", "ws-gateway")


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def units(programs: Programs, *flags: str) -> dict[str, str]:
    """The units that would be installed, by name."""
    result = programs.run("service", "install", "--print", *flags)
    assert (result.returncode, result.stderr) == (0, "")
    texts = re.split(r"(?m)^# (pyaiot\S*\.service)$\n", result.stdout)[1:]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def test_flags_of_run_become_settings(programs: Programs) -> None:
    (unit,) = units(
        programs,
        *("--coap-host", "::", "--title", 'My "lab" 100 %', "--insecure"),
        *("--allowed-host", "a.example", "--allowed-host", "b.example"),
    ).values()
    assert environment_of(unit) == {
        "AIOT_COAP_HOST": "::",
        "AIOT_BROKER_TITLE": 'My "lab" 100 %',
        "AIOT_BROKER_INSECURE": "true",
        "AIOT_BROKER_ALLOWED_HOSTS": "a.example,b.example",
    }


def test_lan_becomes_the_settings_that_open_every_listener(programs: Programs) -> None:
    (unit,) = units(programs, "--lan", "--coap-host", "192.0.2.7").values()
    assert environment_of(unit) == {
        "AIOT_BROKER_HOST": "::",
        "AIOT_BROKER_INSECURE": "true",
        "AIOT_COAP_HOST": "192.0.2.7",
        "AIOT_MQTT_LISTEN": "::",
        "AIOT_MQTTSN_HOST": "::",
        "AIOT_WEBSOCKET_HOST": "::",
    }


def test_port_below_1024_brings_the_right_to_open_it(programs: Programs) -> None:
    (unit,) = units(programs, "--web-port", "443").values()
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in unit
    (unit,) = units(programs, "--web-port", "8443").values()
    assert "CAP_NET_BIND_SERVICE" not in unit


def test_services_apart_are_one_unit_for_each_command(programs: Programs) -> None:
    found = units(programs, "--apart", "--coap-port", "700")
    assert {f"pyaiot-{name}.service" for name in COMMANDS} <= found.keys()
    low = [name for name, text in found.items() if "CAP_NET_BIND_SERVICE" in text]
    assert low == ["pyaiot-coap-gateway.service"]
    for name, text in found.items():
        assert f"Alias={name.replace('pyaiot', 'aiot', 1)}\n" in text


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--web-port", "many"], "many"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--help-me"], "--help-me"),
        (["--history", "postgresql://u:secret@db/x"], "config.toml"),
        (["--config", "missing.toml"], "missing.toml"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_written(
    programs: Programs, flags: list[str], part: str
) -> None:
    result = programs.run("service", "install", *flags)
    assert result.returncode == 2
    assert part in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr


def test_machine_service_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    class Untouched:
        def install(self, *_arguments: object) -> None:
            raise AssertionError("installed without root")

    monkeypatch.setattr(service, "Manager", lambda **_user: Untouched())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(OperatorError, match="sudo"):
        service.install(cast("typer.Context", SimpleNamespace(args=[])))


@pytest.mark.parametrize("command", ["status", "logs"])
def test_without_a_service_the_command_that_installs_one_is_named(
    programs: Programs, command: str
) -> None:
    if Manager(user=False).installed():
        pytest.skip("this machine has the service")
    result = programs.run("service", command)
    assert result.returncode == 2
    assert "aiot service install" in result.stderr


def test_purge_is_not_for_the_service_of_a_user(programs: Programs) -> None:
    result = programs.run("service", "uninstall", "--user", "--purge")
    assert result.returncode == 2
    assert "delete" in result.stderr
