# SPDX-License-Identifier: BSD-3-Clause
"""A listener: how inputs and valid requests are sent to it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from fuzz.run import Target, load_targets
from fuzz.service.system import System


class Sender(Protocol):
    """Sends inputs one after the other."""

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


@dataclass
class Listener:
    """One listener."""

    name: str
    corpus: list[bytes]
    sender: Callable[[System, int], Sender]
    """Makes a sender, with this seed."""
    good: Callable[[System], None]
    """Sends a valid request. Raises if the answer is not the expected one."""
    tls: bool = False
    """Whether it needs a separate system whose web listener uses TLS."""


@cache
def targets() -> dict[str, Target]:
    return load_targets()


def corpus(*names: str) -> list[bytes]:
    """The corpora of these targets."""
    return [data for name in names for data in targets()[name].corpus]


def on(request: Callable[[int], None], port: str) -> Callable[[System], None]:
    return lambda system: request(system.ports[port])
