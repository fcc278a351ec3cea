# SPDX-License-Identifier: BSD-3-Clause
"""A phone beside a machine: a browser in a separate network that reaches the machine only."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.machines.machine import Machine

ADDRESS: Final = "198.18.77.1"
"""Of the machine, in a range for tests of networks (RFC 2544)."""
_PHONE_ADDRESS: Final = "198.18.77.2"
_BROWSER: Final = Path(__file__).with_name("phone_browser.py")
_LIMIT_S: Final = 120.0


class Phone:
    """Is connected to a running machine at the start of the block, and removed at its end."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._name = f"pyaiot-{os.getpid()}"

    def __enter__(self) -> Self:
        init = str(self._machine.init)
        self._ip("netns", "add", self._name)
        try:
            joined = ("type", "veth", "peer", "name", "lan0", "netns", init)
            self._ip("-n", self._name, "link", "add", "lan0", *joined)
            self._ip("-n", self._name, "address", "add", f"{_PHONE_ADDRESS}/24", "dev", "lan0")
            self._ip("-n", self._name, "link", "set", "lan0", "up")
            inside = ["nsenter", "-t", init, "-n", "ip"]
            subprocess.run([*inside, "address", "add", f"{ADDRESS}/24", "dev", "lan0"], check=True)
            subprocess.run([*inside, "link", "set", "lan0", "up"], check=True)
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

    def open(self, link: str, uid: str, picture: Path) -> str:
        """Sign in and wait for the card; its text. A picture of the screen is written."""
        words = (sys.executable, str(_BROWSER), link, uid, str(picture))
        result = subprocess.run(
            ["ip", "netns", "exec", self._name, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def _end(self) -> None:
        # The pair of devices is removed with the namespace.
        self._ip("netns", "delete", self._name)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True)
