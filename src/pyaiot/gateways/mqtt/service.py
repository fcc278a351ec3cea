# SPDX-License-Identifier: BSD-3-Clause
"""Opens the MQTT gateway, from its settings."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from pyaiot.config import Config
from pyaiot.gateways.base import device_store, new_gateway
from pyaiot.gateways.mqtt.gateway import MqttGateway
from pyaiot.gateways.mqtt.metrics import MQTT_BROKER_STARTS
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import SharedMqttBroker
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.metrics import Sample

SETTLED_LIMIT_S: Final = 10.0
"""How long the start waits until the gateway serves its share of the nodes."""


async def open_gateway(config: Config, broker: SharedMqttBroker) -> OpenGateway:
    section, server = config.of(MqttSection), broker.server
    gateway = new_gateway(
        section.name,
        "MQTT",
        section.silence_limit_s,
        section.nodes_max,
        new_nodes_per_s=section.new_nodes_per_s,
        devices=device_store(config),
        group=broker.shares.group if broker.shares is not None else "",
    )
    mqtt = MqttGateway(
        gateway,
        server,
        name=section.name,
        deadlines=broker.deadlines,
        observes=section.count_ignored and (not broker.embedded or broker.accepts_foreign),
        secured=broker.secured,
        dialects=section.dialects,
        mappings=section.mapping,
        topics=section.base_topics,
        shares=broker.shares,
    )
    if section.count_ignored and broker.report_ignored is not None:
        broker.report_ignored(gateway.rejections.ignore)
    broker.refused_messages.append(gateway.rejections.refuse_message)
    if broker.report_refused is not None:
        broker.report_refused(gateway.rejections.refuse)

    async def check() -> str:
        answers = await mqtt.answers()
        problem = broker.problem()
        if problem:
            return f"the MQTT broker does not work: {problem}"
        if not answers:
            return "the MQTT broker does not answer"
        return "" if mqtt.shares is None else mqtt.shares.problem

    async def ready() -> str:
        if mqtt.shares is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLED_LIMIT_S):
                    await mqtt.shares.is_settled.wait()
        return await check()

    def collect() -> Iterator[Sample]:
        yield from mqtt.collect()
        if broker.starts is not None:
            yield MQTT_BROKER_STARTS.of(broker.starts())

    listener = "TCP" if broker.embedded else f"MQTT broker {server.host}"
    return OpenGateway(
        command="mqtt-gateway",
        protocol="MQTT",
        listener=f"{listener} port {server.port}{', TLS' if server.tls else ''}",
        port=server.port,
        check=check,
        collect=collect,
        gateway=gateway,
        run=mqtt.run,
        reload_tls=broker.reload_tls,
        # Messages that devices publish before it subscribes would be acknowledged and lost.
        ready=ready if broker.embedded else None,
        leave=mqtt.leave,
        machines=None if mqtt.shares is None else mqtt.shares.machines,
    )
