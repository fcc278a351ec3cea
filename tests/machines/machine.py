# SPDX-License-Identifier: BSD-3-Clause
"""A machine with Debian and systemd, in a container without network, that can be rebooted."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

BOOT_LIMIT_S: Final = 60.0
RUN_LIMIT_S: Final = 120.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """Boots at the start of the block, and is removed at its end. Its writes go to an overlay."""

    def __init__(self, base: Path, folder: Path) -> None:
        self._base = base
        self._folder = folder
        self.root = folder / "root"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.init = 0

    def __enter__(self) -> Self:
        for name in ("root", "upper", "work"):
            (self._folder / name).mkdir(parents=True)
        upper, work = self._folder / "upper", self._folder / "work"
        layers = f"lowerdir={self._base},upperdir={upper},workdir={work}"
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True
        )
        # debootstrap leaves it to the installer.
        hosts = self.root / "etc" / "hosts"
        hosts.write_text("127.0.0.1 localhost\n::1 localhost\n", "ascii")
        try:
            self.boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._end()

    def boot(self) -> None:
        """Boot the machine, and wait until all units have started."""
        console = self._folder / "console"
        with console.open("ab") as output:
            self._nspawn = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}"),
                    *("--register=no", "--keep-unit", "--private-network", "--link-journal=no"),
                    *(f"--machine=pyaiot-{os.getpid()}", "--console=pipe", "--resolv-conf=off"),
                ],
                # systemd 257 wants it where the host has the older control groups.
                env={**os.environ, "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        deadline = time.monotonic() + BOOT_LIMIT_S
        while True:
            assert time.monotonic() < deadline, console.read_text(errors="replace")
            assert self._nspawn.poll() is None, console.read_text(errors="replace")
            with contextlib.suppress(IndexError, FileNotFoundError):
                self.init = int(children.read_text().split()[0])
                if self.output_of("systemctl is-system-running") in {"running", "degraded"}:
                    return
            time.sleep(0.1)

    def reboot(self) -> None:
        """Shut down, as `systemctl poweroff`, and boot again."""
        self.output_of("systemctl --no-block poweroff")
        assert self._nspawn is not None
        self._nspawn.wait(BOOT_LIMIT_S)
        self.boot()

    def run(self, command: str, *, code: int = 0) -> str:
        """The output of a shell command that ends with this exit code."""
        result = self._call(command)
        text = result.stdout + result.stderr
        assert result.returncode == code, f"{command}: {result.returncode}\n{text}"
        return text

    def output_of(self, command: str) -> str:
        """The standard output of a command with any exit code."""
        return self._call(command).stdout.strip()

    def until(self, command: str, wanted: str, limit_s: float = 30.0) -> None:
        """Wait until a command prints this."""
        deadline = time.monotonic() + limit_s
        while (found := self.output_of(command)) != wanted:
            assert time.monotonic() < deadline, f"{command}: {found}, not {wanted}"
            time.sleep(0.1)

    def put(self, path: Path, where: str) -> None:
        """Copy a file into it."""
        subprocess.run(
            [*self._enter(), "sh", "-c", f"cat > {shlex.quote(where)}"],
            input=path.read_bytes(),
            check=True,
        )

    def _enter(self) -> list[str]:
        variables = ["env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8"]
        return ["nsenter", "-t", str(self.init), "-a", *variables]

    def _call(self, command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._enter(), "sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )

    def _end(self) -> None:
        if self._nspawn is not None:
            # nspawn shuts the machine down on SIGTERM, and kills it on the second.
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
                self._nspawn.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._nspawn.wait(10.0)
                    break
        subprocess.run(["umount", str(self.root)], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)
