# SPDX-License-Identifier: BSD-3-Clause
"""Installs and removes the units with the programs of systemd."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pyaiot.errors import OperatorError, reason_of
from pyaiot.systemd import units
from pyaiot.systemd.units import Service

SETTINGS: Final = """\
# Settings of the Pyaiot services of this machine. `aiot config --show` lists all of them.
# [broker]
# title = "My lab"
"""
_FILE_MODE: Final = 0o644

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a program until it ends. Raises `OperatorError` if it cannot be started."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise OperatorError(
            f"{command[0]} cannot be started: {reason_of(error)}. The service commands need"
            " systemd; without it, start `aiot run` from another service manager."
        ) from error


class Manager(msgspec.Struct, frozen=True):
    """The service manager of the machine, or that of one user. `root`: of the file system."""

    user: bool = False
    root: Path = Path("/")
    home: Path = Path("~")
    run: Run = run

    @property
    def folder(self) -> Path:
        """The folder of the unit files."""
        if self.user:
            base = os.environ.get("XDG_CONFIG_HOME") or self.home.expanduser() / ".config"
            return Path(base) / "systemd" / "user"
        return self.root / "etc" / "systemd" / "system"

    @property
    def state_folder(self) -> Path:
        return self.root / "var" / "lib" / units.NAME

    @property
    def settings_folder(self) -> Path:
        return self.root / "etc" / units.NAME

    @property
    def is_running(self) -> bool:
        """Whether systemd runs on this machine. In a container or chroot it does not."""
        return (self.root / "run" / "systemd" / "system").is_dir()

    def control(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `systemctl`."""
        return self.run(self.control_command(*words))

    def control_command(self, *words: str) -> list[str]:
        return ["systemctl", *(["--user"] if self.user else []), *words]

    # -- installed units -------------------------------------------------------------------

    def installed(self) -> list[str]:
        """The names of the installed units, including those of a package; the target first."""
        folders = [self.folder]
        if not self.user:
            folders.append(self.root / "usr" / "lib" / "systemd" / "system")
        found = {
            path.name
            for folder in folders
            if folder.is_dir()
            for path in folder.glob(f"{units.NAME}*")
            if path.is_file() and path.suffix in {".service", ".target"}
        }
        return sorted(found, key=lambda name: (name != units.TARGET, name))

    def environment(self) -> dict[str, str]:
        """The settings in the units."""
        found: dict[str, str] = {}
        for name in self.installed():
            path = self.folder / name
            if path.is_file():
                found |= units.environment_of(path.read_text("utf-8"))
        return found

    # -- install, uninstall -------------------------------------------------------------------

    def install(self, services: Sequence[Service], program: Sequence[str]) -> list[Path]:
        """Write and enable the units, and remove units that are no longer needed. Starts nothing.
        Raises `OperatorError`."""
        texts = {
            service.unit: units.service_unit(
                service, program, user=self.user, home=_home_access(program)
            )
            for service in services
        }
        if len(services) > 1:
            texts[units.TARGET] = units.target_unit(services, user=self.user)
        if not self.user:
            self._check_access(program)
        self._remove_units([name for name in self._own_units() if name not in texts])
        try:
            if not self.user:
                self._make_user()
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                (self.folder / name).write_text(text, "utf-8")
                (self.folder / name).chmod(_FILE_MODE)
        except PermissionError as error:
            raise _not_root() from error
        except OSError as error:
            raise OperatorError(
                f"The unit cannot be written to {self.folder}: {reason_of(error)}."
            ) from error
        self._do("daemon-reload", needs_systemd=True)
        self._do("enable", *texts)
        return [self.folder / name for name in texts]

    def restart(self, names: Iterable[str]) -> None:
        """Start or restart units, and wait until they are ready. Raises `OperatorError`."""
        names = list(names)
        first = [units.TARGET] if units.TARGET in names else names
        result = self.control("restart", *first)
        if result.returncode == 0 and units.TARGET in names:
            # A target does not wait for its services to be ready.
            result = self.control("restart", *(name for name in names if name != units.TARGET))
        if result.returncode != 0:
            raise OperatorError(
                "The service is installed but does not start: `aiot service logs` has the reason."
            )

    def uninstall(self, *, purge: bool) -> list[str]:
        """Stop the services and remove the units; with `purge`, also data, settings and user.
        Returns the names of the units. Raises `OperatorError`."""
        names = self._own_units()
        if not names:
            if self.installed():
                raise OperatorError("The service belongs to the package: `apt remove pyaiot`.")
            raise OperatorError("No service is installed: `aiot service install` installs it.")
        self._remove_units(names)
        self._do("daemon-reload", needs_systemd=True)
        if not self.user:
            self._users_file().unlink(missing_ok=True)
        if purge and not self.user:
            for folder in (self.state_folder, self.settings_folder):
                shutil.rmtree(folder, ignore_errors=True)
            self.run(["userdel", units.NAME])
        return names

    def _own_units(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return [name for name in self.installed() if (self.folder / name).is_file()]

    def _remove_units(self, names: Sequence[str]) -> None:
        if not names:
            return
        if self.is_running:
            self.control("stop", *names)
        try:
            self._do("disable", *names)
            for name in names:
                (self.folder / name).unlink()
        except PermissionError as error:
            raise _not_root() from error

    def _do(self, *words: str, needs_systemd: bool = False) -> None:
        if needs_systemd and not self.is_running:
            return
        result = self.control(*words)
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            if "denied" in reason.lower() or "authentication" in reason.lower():
                raise _not_root()
            raise OperatorError(f"systemctl {words[0]} failed: {reason.rstrip('.')}.")

    # -- the user ---------------------------------------------------------------------------

    def _users_file(self) -> Path:
        return self.root / "etc" / "sysusers.d" / f"{units.NAME}.conf"

    def _make_user(self) -> None:
        path = self._users_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(units.sysusers(), "utf-8")
        result = self.run(["systemd-sysusers", str(path)])
        if result.returncode != 0:
            raise OperatorError(f"The user {units.NAME} cannot be added: {result.stderr.strip()}")
        self.settings_folder.mkdir(parents=True, exist_ok=True)
        settings = self.settings_folder / "config.toml"
        if not settings.exists():
            settings.write_text(SETTINGS, "utf-8")
            # The file may later contain the password of a database; only root and the services may
            # read it.
            settings.chmod(0o640)
            self.run(["chgrp", units.NAME, str(settings)])

    def _check_access(self, program: Sequence[str]) -> None:
        for word in program:
            path = Path(word)
            if not path.is_absolute():
                continue
            for folder in path.parents:
                if not folder.stat().st_mode & stat.S_IXOTH:
                    raise OperatorError(
                        f"{path} is in {folder}, which the user of the service cannot enter:"
                        " install Pyaiot for all users (a .deb, or an environment in /opt), or use"
                        " --user."
                    )


def _not_root() -> OperatorError:
    return OperatorError("This needs root: start it with sudo, or use --user for your own service.")


def _home_access(program: Sequence[str]) -> str:
    """The value of `ProtectHome` that permits reading the program."""
    homes = tuple(f"/{name}/" for name in ("home", "root", "run/user"))
    return "read-only" if any(str(word).startswith(homes) for word in program) else "yes"


def service_environment(manager: Manager, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command that runs in the same way as the services."""
    kept = {name: environ[name] for name in ("PATH", "LANG", "LC_ALL", "TERM") if name in environ}
    return {
        **kept,
        **manager.environment(),
        "HOME": str(manager.state_folder),
        "STATE_DIRECTORY": str(manager.state_folder),
        "CONFIGURATION_DIRECTORY": str(manager.settings_folder),
    }
