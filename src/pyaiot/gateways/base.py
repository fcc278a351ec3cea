# SPDX-License-Identifier: BSD-3-Clause
"""Helpers with which plugins open their gateways."""

import asyncio
import logging
import os
import time
from pathlib import Path

from pyaiot.accounts.devices import FILE_NAME, DeviceStore
from pyaiot.config import Config, DevicesSection, data_folder, state_folder
from pyaiot.gateways.gateway import Gateway
from pyaiot.gateways.live_nodes import NEW_NODES_PER_S, NODES_PER_HOST_MAX, LiveNodes
from pyaiot.gateways.state_store import StateStore
from pyaiot.transport.addresses import is_loopback


def new_gateway(
    name: str,
    protocol: str,
    offline_timeout_s: float | None,
    nodes_max: int,
    *,
    new_nodes_per_s: float = NEW_NODES_PER_S,
    nodes_per_host_max: int = NODES_PER_HOST_MAX,
    devices: DeviceStore | None = None,
    group: str = "",
) -> Gateway:
    """A gateway on the running loop. `offline_timeout_s` None: its nodes never time out.

    `devices`: see `device_store`. `group`: see `Hello.group`.
    """
    devices = DeviceStore(None) if devices is None else devices
    return Gateway(
        name=name,
        protocol=protocol,
        nodes=LiveNodes(
            silence_limit_s=offline_timeout_s,
            nodes_max=nodes_max,
            nodes_per_host_max=nodes_per_host_max,
            new_nodes_per_s=new_nodes_per_s,
            is_secured=devices.is_secured,
        ),
        loop=asyncio.get_running_loop(),
        unix_time=time.time,
        devices=devices,
        group=group,
    )


def device_store(config: Config) -> DeviceStore:
    """The credentials of devices that a gateway checks. Raises `OperatorError`."""
    return DeviceStore(device_file(config.devices))


def device_file(section: DevicesSection) -> Path | None:
    """The file of these credentials; None: credentials of devices are off."""
    if section.file == "off":
        return None
    return Path(section.file or data_folder(os.environ) / FILE_NAME).expanduser()


def warn_if_open(log: logging.Logger, host: str, listener: str, ability: str) -> None:
    """Log a warning for a listener beyond loopback. `ability` completes "every device …"."""
    if not is_loopback(host):
        log.warning("%s is open to the network: every device on it %s", listener, ability)


def state_store(setting: str, name: str, port: int) -> StateStore:
    """The state file of a gateway. There is none for port 0: nodes cannot find the next port."""
    if setting == "off" or (not setting and not port):
        return StateStore()
    if setting:
        return StateStore(Path(setting).expanduser())
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return StateStore(state_folder(os.environ) / f"{safe}-{port}.db")
