# SPDX-License-Identifier: BSD-3-Clause
"""Opens the services that several protocols share in one process, such as an MQTT broker."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pyaiot.app.protocols import plugins
from pyaiot.config import Config
from pyaiot.errors import NotInstalled
from pyaiot.gateways.plugin import SharedService

log = logging.getLogger(__name__)


@asynccontextmanager
async def shared_services(
    config: Config, folder: Path | None = None
) -> AsyncIterator[Mapping[SharedService, Any]]:
    """The services that several protocols share in this process, open until the block ends.

    A service whose program is not installed is None, and its gateways are left out.
    """
    async with AsyncExitStack() as stack:
        shared: dict[SharedService, Any] = {}
        for plugin in plugins():
            if plugin.shared is not None and plugin.shared not in shared:
                opened = plugin.shared.open(config, folder)
                try:
                    shared[plugin.shared] = await stack.enter_async_context(opened)
                except NotInstalled as error:
                    if folder is not None:
                        raise  # the demo shows all protocols
                    shared[plugin.shared] = None
                    without = [it.protocol for it in plugins() if it.shared is plugin.shared]
                    log.warning("no gateway for %s: %s", " and ".join(without), error)
        yield shared
