# SPDX-License-Identifier: BSD-3-Clause
"""The life of the Debian package on a machine: install, use, kill, upgrade, reboot, purge.

The tests are the days of one machine, in their order.
"""

import platform
import re
import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT, Block
from tests.machines.machine import Machine

PAGE = ROOT / "docs" / "how-to" / "run-as-a-service.md"
NODE = "aiot node coap --uid board-1 --temperature"
EXPOSURE_MAX = 3.0

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the machine runs on x86-64"),
]


def newer(package: Path, folder: Path) -> Path:
    """The same package with a higher version."""
    subprocess.run(["dpkg-deb", "-R", str(package), str(folder / "root")], check=True)
    control = folder / "root" / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("-1~deb", "-2~deb"))
    made = folder / package.name.replace("-1~deb", "-2~deb")
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(folder / "root")]
    subprocess.run([*command, str(made)], check=True, capture_output=True)
    return made


def test_installed_package_runs_at_once(machine: Machine, package: Path) -> None:
    machine.put(package, "/tmp/pyaiot.deb")
    machine.run("dpkg -i /tmp/pyaiot.deb")
    machine.run("systemctl is-active pyaiot")
    assert machine.run("aiot health") == "http://127.0.0.1:8000 works.\n"
    assert "enabled" in machine.run("systemctl is-enabled pyaiot")
    assert machine.output_of("stat -c '%U %a' /var/lib/pyaiot") == "pyaiot 700"
    assert machine.output_of("stat -c '%U:%G %a' /etc/pyaiot/config.toml") == "root:pyaiot 640"


def test_device_appears(machine: Machine) -> None:
    machine.run(f"systemd-run --unit=board --collect {NODE}")
    machine.until("aiot get board-1 temperature >/dev/null && echo there", "there")
    machine.run("aiot node rename board-1 'Desk lamp'")
    machine.run("systemctl stop board")


def test_service_is_confined(machine: Machine) -> None:
    security = machine.run("systemd-analyze security --no-pager pyaiot.service")
    (exposure,) = re.findall(r"Overall exposure level for pyaiot.service: ([\d.]+)", security)
    assert float(exposure) <= EXPOSURE_MAX
    assert machine.run("systemd-analyze verify --man=no pyaiot.service") == ""


def test_historic_units_are_aliases(machine: Machine) -> None:
    assert machine.run("systemctl is-active aiot-broker aiot-dashboard") == "active\nactive\n"


def test_killed_service_returns(machine: Machine) -> None:
    machine.run("systemctl kill --signal=KILL --kill-who=main pyaiot")
    machine.until("systemctl show -p NRestarts --value pyaiot", "1")
    machine.until("aiot health", "http://127.0.0.1:8000 works.")


def test_service_that_hangs_is_restarted_by_the_watchdog(machine: Machine) -> None:
    folder = "/run/systemd/system/pyaiot.service.d"
    setting = "[Service]\\nWatchdogSec=2\\nRestartSec=0\\nTimeoutAbortSec=1\\n"
    machine.run(f"mkdir -p {folder} && printf '{setting}' > {folder}/quick.conf")
    machine.run("systemctl daemon-reload && systemctl restart pyaiot")
    machine.run("systemctl kill --signal=STOP --kill-who=main pyaiot")
    machine.until("systemctl show -p NRestarts --value pyaiot", "1")
    machine.until("aiot health", "http://127.0.0.1:8000 works.")
    machine.run(f"rm -r {folder} && systemctl daemon-reload && systemctl restart pyaiot")


def test_reload_does_not_end_the_service(machine: Machine) -> None:
    before = machine.output_of("systemctl show -p MainPID --value pyaiot")
    machine.run("systemctl reload pyaiot && aiot health")
    assert machine.output_of("systemctl show -p MainPID --value pyaiot") == before


def test_upgrade_keeps_data_and_settings(machine: Machine, package: Path, tmp_path: Path) -> None:
    machine.run("echo '[broker]\ntitle = \"Greenhouse\"' >> /etc/pyaiot/config.toml")
    machine.put(newer(package, tmp_path), "/tmp/newer.deb")
    machine.run("dpkg -i --force-confold /tmp/newer.deb")
    assert "-2~deb" in machine.run("dpkg-query -W pyaiot")
    machine.until("aiot health", "http://127.0.0.1:8000 works.")
    assert "Desk lamp" in machine.run("aiot nodes")
    settings = machine.run("aiot service exec config --show")
    assert re.search(r'(?m)^broker.title +"Greenhouse"', settings)


def test_service_is_there_after_a_reboot(machine: Machine) -> None:
    machine.reboot()
    machine.until("aiot health", "http://127.0.0.1:8000 works.")
    assert "Desk lamp" in machine.run("aiot nodes")


def test_manual_and_completion_are_there(machine: Machine) -> None:
    for path in ("man/man1/aiot.1.gz", "bash-completion/completions/aiot"):
        machine.run(f"test -s /usr/share/{path}")


def test_page_about_the_service_can_be_followed(machine: Machine) -> None:
    for block in Block.of(PAGE):
        if block.language == "sh":
            for command in block.commands():
                if "--user" in command:
                    continue  # root has no user manager here
                machine.run(command.removeprefix("sudo ").replace("--web-port", "--web-port"))
                if "--apart" in command:
                    units = "aiot-broker aiot-coap-gateway aiot-ws-gateway aiot-dashboard"
                    machine.until(f"systemctl is-active {units} | sort -u", "active")
                if "--host ::" in command:
                    machine.run("aiot service exec health")
    # Those of the package are left, and work again.
    machine.run("systemctl restart pyaiot && aiot health")


def test_sign_in_links_are_not_in_the_journal(machine: Machine) -> None:
    assert "token=" not in machine.run("journalctl --no-pager -u 'pyaiot*'")


def test_purge_leaves_nothing(machine: Machine) -> None:
    machine.run("dpkg --purge pyaiot")
    left = machine.output_of("find / -xdev -path /proc -prune -o -iname '*pyaiot*' -print")
    names = [it for it in left.splitlines() if not it.startswith(("/tmp/", "/var/log/", "/run/"))]
    assert names == []
    machine.run("id pyaiot", code=1)
    assert machine.output_of("systemctl is-active pyaiot") == "inactive"
