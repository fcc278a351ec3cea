# SPDX-License-Identifier: BSD-3-Clause
"""A later worker of `aiot run --workers N`, as a process: `python -m pyaiot.app.worker_process`."""

import asyncio
import logging
import os
import signal
import sys
from typing import Final

from pyaiot.app.runner import run_until_signal
from pyaiot.app.services import run_broker
from pyaiot.app.workers import read_settings
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.redaction import redact

_LINE_MAX: Final = 16 * 1024 * 1024
_EXIT_OPERATOR: Final = 2

log = logging.getLogger(__name__)


class _Settings:
    """The latest settings from the first worker."""

    def __init__(self, config: Config) -> None:
        self.latest = config

    async def follow(self) -> None:
        """Read further settings. When the first worker has ended, this process ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LINE_MAX)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self.latest = read_settings(line)
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)


async def _run(config: Config) -> None:
    settings = _Settings(config)
    following = asyncio.create_task(settings.follow(), name="settings of the first worker")
    try:
        await run_broker(config, _print_line, lambda: settings.latest)
    finally:
        following.cancel()


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    # Unbuffered: the event loop reads what follows the line.
    line = os.fdopen(os.dup(0), "rb", buffering=0).readline()
    if not line:
        return
    config = read_settings(line)
    name = f"worker {config.cluster.worker}" if hasattr(config.cluster, "worker") else ""
    try:
        run_until_signal(_run(config), config.log, process=name)
    except OperatorError as error:
        log.error("%s", redact(str(error)))  # noqa: TRY400 - no traceback
        sys.exit(_EXIT_OPERATOR)


if __name__ == "__main__":
    main()
