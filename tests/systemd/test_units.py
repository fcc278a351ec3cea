# SPDX-License-Identifier: BSD-3-Clause
"""The unit files: what systemd reads is what was meant."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import OperatorError
from pyaiot.systemd.units import (
    HISTORIC,
    Service,
    environment_of,
    quoted,
    service_unit,
    target_unit,
)

PROGRAM = ("/bin/true",)
EXPOSURE_MAX = 3.0
"""Of `systemd-analyze security`, from 0 to 10."""
ALL = Service("run", "Pyaiot: everything", aliases=HISTORIC)
ANALYZE = shutil.which("systemd-analyze")
needs_analyze = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")


def lines_of(unit: str) -> list[str]:
    return unit.splitlines()


def test_service_reports_readiness_and_is_restarted_for_ever() -> None:
    lines = lines_of(service_unit(ALL, PROGRAM))
    assert {"Type=notify", "NotifyAccess=main", "WatchdogSec=60"} <= set(lines)
    assert {"Restart=always", "StartLimitIntervalSec=0", "WantedBy=multi-user.target"} <= set(lines)
    assert "ExecStart=/bin/true run" in lines


def test_service_of_the_machine_has_a_user_and_a_folder_for_its_data() -> None:
    lines = lines_of(service_unit(ALL, PROGRAM))
    assert {"User=pyaiot", "StateDirectory=pyaiot", "StateDirectoryMode=0700"} <= set(lines)


def test_service_of_a_user_names_no_other_user_and_needs_no_privileges() -> None:
    unit = service_unit(ALL, PROGRAM, user=True)
    assert "WantedBy=default.target" in unit
    assert not re.search(
        r"^(User|StateDirectory|Protect\w+|CapabilityBoundingSet)=", unit, re.MULTILINE
    )


def test_only_a_low_port_brings_the_capability_for_it() -> None:
    assert "CapabilityBoundingSet=\n" in service_unit(ALL, PROGRAM)
    low = service_unit(Service("run", "x", low_ports=True), PROGRAM)
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in low
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in low


def test_historic_units_are_aliases() -> None:
    (line,) = [it for it in lines_of(service_unit(ALL, PROGRAM)) if it.startswith("Alias=")]
    assert line.removeprefix("Alias=").split() == [
        *("aiot-broker.service", "aiot-coap-gateway.service", "aiot-mqtt-gateway.service"),
        *("aiot-ws-gateway.service", "aiot-mqttsn-gateway.service", "aiot-dashboard.service"),
        "aiot-generate-keys.service",
    ]


def test_services_apart_stop_with_their_target() -> None:
    services = [Service("broker", "x"), Service("coap-gateway", "y")]
    assert "Wants=pyaiot-broker.service pyaiot-coap-gateway.service" in target_unit(services)
    for service in services:
        unit = service_unit(service, PROGRAM)
        assert "PartOf=pyaiot.target\n" in unit
        assert "WantedBy=pyaiot.target\n" in unit


def test_key_file_is_made_once_before_the_broker() -> None:
    unit = service_unit(Service("generate-keys", "keys"), PROGRAM)
    assert "ExecStart=/bin/true generate-keys --if-missing\n" in unit
    assert {"Type=oneshot", "Before=pyaiot-broker.service"} <= set(lines_of(unit))
    assert "Restart=" not in unit


@given(st.dictionaries(st.from_regex(r"AIOT_[A-Z_]{1,20}", fullmatch=True), st.text()))
def test_settings_in_a_unit_are_read_back(environment: dict[str, str]) -> None:
    printable = all(value.isprintable() for value in environment.values())
    try:
        unit = service_unit(Service("run", "x", environment), PROGRAM)
    except OperatorError:
        assert not printable
        return
    assert printable
    assert environment_of(unit) == environment


def test_words_of_a_command_are_not_expanded() -> None:
    assert quoted('a "b" $HOME %n') == '"a \\"b\\" $$HOME %%n"'
    assert quoted("/opt/pyaiot/bin/aiot") == "/opt/pyaiot/bin/aiot"
    with pytest.raises(OperatorError, match="cannot contain"):
        quoted("two\nlines")


def analyze(folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    assert ANALYZE is not None
    return subprocess.run(
        [ANALYZE, *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},  # a user's manager wants one
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@needs_analyze
@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("command", ["run", "broker", "generate-keys"])
def test_systemd_finds_nothing_wrong(tmp_path: Path, command: str, *, user: bool) -> None:
    service = Service(command, "Pyaiot", {"AIOT_BROKER_TITLE": 'a "b" % $'}, low_ports=True)
    unit = service_unit(service, PROGRAM, user=user)
    # Whether the other units and the manual are there is not a question about this file.
    unit = re.sub(r"(?m)^(Documentation|PartOf|WantedBy)=.*\n", "", unit)
    path = tmp_path / service.unit
    path.write_text(unit)
    words = ["--user"] if user else []
    result = analyze(tmp_path, "verify", "--man=no", "--recursive-errors=no", *words, path)
    assert (result.returncode, result.stderr) == (0, "")


@needs_analyze
@pytest.mark.parametrize("low_ports", [False, True])
def test_exposure_is_low(tmp_path: Path, *, low_ports: bool) -> None:
    path = tmp_path / "pyaiot.service"
    path.write_text(service_unit(Service("run", "x", low_ports=low_ports), PROGRAM))
    result = analyze(tmp_path, "security", "--offline=true", "--no-pager", path)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
    assert found is not None, result.stderr
    assert float(found[1]) <= EXPOSURE_MAX
