# SPDX-License-Identifier: BSD-3-Clause
"""From a fresh root file system to a live node on a phone: each kind of installation.

The commands are those of the documents. The time and the number of commands are printed, as a row
of a table for each way.
"""

import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts import machines
from tests.documents import ROOT
from tests.machines.machine import Machine
from tests.machines.phone import ADDRESS, Phone
from tests.machines.wheels import add_build_tools

PERSON = "alice"
RUNTIME = "/run/user/1000"
LINK = re.compile(rf"http://{re.escape(ADDRESS)}:8000/login\?token=[\w-]+")
NODE = "aiot node coap --uid board-1 --temperature"
VENV = "/opt/pyaiot"


@dataclass
class Person:
    """A user at the machine who types commands."""

    machine: Machine
    is_root: bool
    commands: int = 0
    started: float = field(default_factory=time.monotonic)
    token: str = ""

    def types(self, command: str, *, answers: str = "") -> str:
        """The output of a command that succeeds. `answers`: what is typed on its terminal."""
        self.commands += 1
        if answers:
            typed = f"script -qec {shlex.quote(command)} /dev/null"
            return self.machine.run(f"printf {shlex.quote(answers)} | {typed}")
        return self.machine.run(self._as_person(command))

    def starts(self, command: str) -> None:
        """A command in a second terminal, which runs until the machine ends."""
        self.commands += 1
        line = shlex.quote(f"{self._as_person(command)} >>/tmp/shown 2>&1")
        unit = f"terminal-{self.commands}"
        self.machine.run(f"systemd-run --quiet --unit={unit} --collect sh -c {line}")

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def _as_person(self, command: str) -> str:
        if self.is_root:
            return f"HOME=~root && export HOME && cd && {command}"
        # As after signing in: with the service manager of the user.
        home = f"cd && export XDG_RUNTIME_DIR={RUNTIME} && {command}"
        return f"runuser -l {PERSON} -c {shlex.quote(home)}"


@contextmanager
def fresh(release: str, folder: Path, *, is_root: bool) -> Iterator[Person]:
    """A machine that has just been installed, with a person at it."""
    with Machine(machines.folder_of(release), folder / "m") as machine:
        if not is_root:
            machine.run(f"useradd --create-home --uid 1000 --shell /bin/bash {PERSON}")
            machine.run(f"loginctl enable-linger {PERSON}")
            machine.until(f"test -S {RUNTIME}/systemd/private && echo there", "there")
        yield Person(machine, is_root)


def link_in(shown: str) -> str:
    """The link for this network."""
    found = LINK.search(shown)
    assert found is not None, shown
    return found[0]


def node_is_live(person: Person, aiot: str, as_service: str = "") -> float:
    """The seconds until the broker has a value of the node. `as_service`: before `token add`."""
    person.starts(NODE.replace("aiot", aiot, 1))
    # This client must be signed in, as the phone is. That is not one of the commands.
    home = "" if person.is_root else f"runuser -u {PERSON} -- env HOME=/home/{PERSON} "
    token = person.machine.run(f"{home}{aiot} {as_service}token add test --role viewer").strip()
    look = f"AIOT_TOKEN={token} {aiot} get board-1 temperature >/dev/null && echo there"
    person.machine.until(look, "there", 60.0)
    person.token = token
    return person.seconds()


def report(capsys: pytest.CaptureFixture[str], *cells: object) -> None:
    with capsys.disabled():
        print("\n|", " | ".join(map(str, cells)), "|")


def killed_and_rebooted(person: Person, systemctl: str, aiot: str) -> tuple[float, float]:
    """The service comes back; the seconds for each."""
    machine, seconds = person.machine, []
    health = f"{aiot} health >/dev/null && echo well"
    machine.run(f"{systemctl} kill --signal=KILL --kill-who=main pyaiot")
    started = time.monotonic()
    machine.until(f"{systemctl} show -p NRestarts --value pyaiot", "1")
    machine.until(health, "well", 60.0)
    seconds.append(time.monotonic() - started)
    started = time.monotonic()
    machine.reboot()
    machine.until(health, "well", 60.0)
    seconds.append(time.monotonic() - started)
    assert "board-1" in machine.run(f"AIOT_TOKEN={person.token} {aiot} nodes --offline")
    return seconds[0], seconds[1]


def test_package_and_setup(
    release: str, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fresh(release, tmp_path, is_root=True) as person, Phone(person.machine) as phone:
        person.machine.put(package, "/tmp/pyaiot.deb")
        person.started = time.monotonic()
        person.types("dpkg -i /tmp/pyaiot.deb")
        # Enter three times: my network, all protocols, at boot.
        link = link_in(person.types("aiot setup", answers="\n\n\n"))
        live = node_is_live(person, "aiot", "service exec ")
        assert "°C" in phone.open(link, "board-1", tmp_path / "phone.png")
        seen, commands = person.seconds(), person.commands
        times = seconds(live, seen, *killed_and_rebooted(person, "systemctl", "aiot"))
    report(
        capsys,
        f"Debian {release}",
        ".deb, root",
        commands,
        *times,
    )


@pytest.mark.parametrize("is_root", [True, False], ids=["root", "user"])
def test_wheel_and_service(
    release: str, wheels: Path, is_root: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = VENV if is_root else f"/home/{PERSON}/pyaiot"
    aiot = f"{folder}/bin/aiot"
    scope, exec_ = ("", "service exec ") if is_root else ("--user ", "")
    systemctl = "systemctl"
    if not is_root:
        systemctl = f"runuser -u {PERSON} -- env XDG_RUNTIME_DIR={RUNTIME} systemctl --user"
    with fresh(release, tmp_path, is_root=is_root) as person, Phone(person.machine) as phone:
        put_wheels(person.machine, wheels)
        person.started = time.monotonic()
        person.types(f"python3 -m venv {folder}")
        pip = f"{folder}/bin/pip install --quiet --no-index --find-links /srv/wheelhouse"
        person.types(f"{pip} pyaiot")
        person.types(f"{aiot} service install {scope}--lan")
        link = link_in(person.types(f"{aiot} {exec_}invite --role admin"))
        live = node_is_live(person, aiot, exec_)
        assert "°C" in phone.open(link, "board-1", tmp_path / "phone.png")
        seen, commands = person.seconds(), person.commands
        times = seconds(live, seen, *killed_and_rebooted(person, systemctl, aiot))
        assert "pyaiot.service" in person.types(f"{aiot} service status {scope}")
        person.types(f"{aiot} service logs {scope}-n 5")
        person.types(f"{aiot} service uninstall {scope or '--purge'}")
        assert person.machine.output_of(f"{systemctl} is-active pyaiot") == "inactive"
    who = "root" if is_root else "user"
    report(
        capsys,
        f"Debian {release}",
        f"wheel, {who}",
        commands,
        *times,
    )


def test_checkout_without_root(
    release: str, wheels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of the README, in a checkout whose dashboard is built; pip gets the wheels from
    a folder, where the reader has an index."""
    with fresh(release, tmp_path, is_root=False) as person, Phone(person.machine) as phone:
        machine = person.machine
        put_wheels(machine, add_build_tools(wheels, release, tmp_path / "build"))
        put_checkout(machine, tmp_path, f"/home/{PERSON}/checkout")
        machine.run(
            "printf '[global]\\nno-index = true\\nfind-links = /srv/wheelhouse\\n' > /etc/pip.conf"
        )
        person.started = time.monotonic()
        person.types("python3 -m venv ~/pyaiot")
        person.types("cd checkout && . ~/pyaiot/bin/activate && pip install --quiet .")
        aiot = f"/home/{PERSON}/pyaiot/bin/aiot"
        person.starts(f"{aiot} run --lan")
        machine.until("grep -q /login /tmp/shown && echo there", "there", 60.0)
        link = link_in(machine.run("cat /tmp/shown"))
        live = node_is_live(person, aiot)
        assert "°C" in phone.open(link, "board-1", tmp_path / "phone.png")
        seen = person.seconds()
        # The README goes on with two posts.
        post = f"/home/{PERSON}/pyaiot/bin/aiocoap-client -m POST --payload"
        person.types(f"{post} alive:my-board coap://localhost/alive")
        person.types(f"{post} temperature:21.5°C coap://localhost/server")
        assert "21.5" in machine.run(f"AIOT_TOKEN={person.token} {aiot} get my-board temperature")
    report(capsys, f"Debian {release}", "checkout, user", 4, *seconds(live, seen), "no service", "")


def seconds(*measured: float) -> list[str]:
    return [f"{it:.0f} s" for it in measured]


def put_wheels(machine: Machine, wheels: Path) -> None:
    machine.run("mkdir -p /srv/wheelhouse")
    for wheel in wheels.iterdir():
        machine.put(wheel, f"/srv/wheelhouse/{wheel.name}")


def put_checkout(machine: Machine, folder: Path, where: str) -> None:
    """The committed files, and the built dashboard."""
    archive = folder / "checkout.tar"
    subprocess.run(["git", "archive", "--output", str(archive), "HEAD"], cwd=ROOT, check=True)
    subprocess.run(
        ["tar", "--append", "--file", str(archive), "src/pyaiot/web/built"], cwd=ROOT, check=True
    )
    machine.put(archive, "/srv/checkout.tar")
    machine.run(
        f"mkdir {where} && tar -xf /srv/checkout.tar -C {where} && chown -R {PERSON}: {where}"
    )
