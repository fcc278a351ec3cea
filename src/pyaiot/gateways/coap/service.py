# SPDX-License-Identifier: BSD-3-Clause
"""Opens the CoAP gateway, from its settings."""

import logging
import time
from pathlib import Path

from pyaiot.config import Config
from pyaiot.gateways.base import device_file, device_store, new_gateway, state_store, warn_if_open
from pyaiot.gateways.coap.gateway import CoapGateway
from pyaiot.gateways.coap.oscore.service import FILE_NAME as OSCORE_FILE_NAME
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.coap.trace import Trace
from pyaiot.gateways.plugin import OpenGateway

log = logging.getLogger(__name__)


async def open_gateway(config: Config, _shared: object) -> OpenGateway:
    section = config.of(CoapSection)
    gateway = new_gateway(
        section.name,
        "CoAP",
        section.silence_limit_s,
        section.nodes_max,
        nodes_per_host_max=section.nodes_per_host_max,
        new_nodes_per_s=section.new_nodes_per_s,
        devices=device_store(config),
    )
    trace = _open_trace(section)
    try:
        coap = await CoapGateway.open(
            gateway,
            section.host,
            section.port,
            interface=section.interface,
            poll_s=section.poll_s,
            sleepy=section.sleepy,
            trace=trace,
            kept=state_store(section.state_file, section.name, section.port),
            oscore_file=_oscore_file(config),
            coaps_port=section.coaps_port,
        )
    except BaseException:
        if trace is not None:
            trace.close()
        raise
    warn_if_open(log, section.host, f"UDP port {coap.port}", "can announce nodes and post readings")

    secured_port = 0 if coap.secured is None else coap.secured.port
    secured = f", secured on UDP port {secured_port}" if secured_port else ""

    async def check() -> str:
        return "" if await coap.answers() else "does not answer on its UDP port"

    return OpenGateway(
        command="coap-gateway",
        protocol="CoAP",
        listener=f"UDP port {coap.port}{secured}",
        port=coap.port,
        check=check,
        collect=coap.collect,
        gateway=gateway,
        run=coap.run,
    )


def _oscore_file(config: Config) -> Path | None:
    """Beside the credentials, so that both files are copied or lost together."""
    devices = device_file(config.devices)
    return None if devices is None else devices.with_name(OSCORE_FILE_NAME)


def _open_trace(section: CoapSection) -> Trace | None:
    if not section.trace:
        return None
    return Trace(
        Path(section.trace).expanduser(),
        size_max=round(section.trace_size_mb * 1e6),
        nodes=section.trace_nodes,
        unix_time=time.time,
    )
