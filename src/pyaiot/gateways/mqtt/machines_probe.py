# SPDX-License-Identifier: BSD-3-Clause
"""Checks a cluster of MQTT brokers for `aiot doctor`: its files, and the other machines."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Final

import msgspec

from pyaiot.errors import OperatorError, reason_of
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import cluster_of
from pyaiot.gateways.plugin import ProbeResult
from pyaiot.mqtt.embedded.machines import Machine, MqttCluster
from pyaiot.transport.addresses import name_lookup

ANSWER_LIMIT_S: Final = 3.0
"""Longest time for another machine to answer. After that it counts as not reachable."""
INFO_SIZE_MAX: Final = 16 * 1024
"""Bytes of the first line of a nats-server. A longer one is not read."""
_AREA: Final = "MQTT cluster"


class _Info(msgspec.Struct):
    """What a nats-server sends first on a connection between machines."""

    server_name: str


_decoder: Final = msgspec.json.Decoder(_Info)


async def probe_machines(section: MqttSection) -> AsyncIterator[ProbeResult]:
    """Read the files that the settings name, and query the identity of each other machine."""
    try:
        cluster = cluster_of(section)
        if cluster is None:
            return
        tls = _tls_context(cluster)
    except OperatorError as error:
        text, action = str(error).rstrip("."), "correct that setting"
        yield ProbeResult(_AREA, "settings", ok=False, text=text, action=action)
        return
    count = len(cluster.machines)
    text = f"{count} machines, of which {(count - 1) // 2} may be lost"
    if count % 2 == 0:
        text += f": {count - 1} would do as well"
    yield ProbeResult(_AREA, "settings", ok=True, text=text)
    problems = await asyncio.gather(*(_problem_of(it, tls) for it in cluster.others))
    for machine, (problem, action) in zip(cluster.others, problems, strict=True):
        text = problem or "answers"
        yield ProbeResult(_AREA, str(machine), ok=not problem, text=text, action=action)


def _tls_context(cluster: MqttCluster) -> ssl.SSLContext | None:
    """As the nats-servers use it. Raises `OperatorError` if the files cannot be used together."""
    if not cluster.certificate_file:
        return None
    file = cluster.ca_file
    try:
        context = ssl.create_default_context(cafile=file)
        file = cluster.certificate_file
        context.load_cert_chain(file, cluster.key_file or None)
    except ssl.SSLError as error:
        reason = error.reason or "it is not a PEM file"
        raise OperatorError(f"The file {file} of mqtt.cluster cannot be used: {reason}.") from error
    except OSError as error:
        reason = reason_of(error)
        raise OperatorError(f"The file {file} of mqtt.cluster cannot be read: {reason}.") from error
    return context


async def _problem_of(machine: Machine, tls: ssl.SSLContext | None) -> tuple[str, str]:
    """What is wrong with another machine, and what to do; empty if it answers as it should."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            line = await _first_line(machine, tls)
        info = _decoder.decode(line.removeprefix(b"INFO "))
    except TimeoutError:
        return "does not answer", _reachable(machine)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        action = "use certificates of one authority, with the address of each machine"
        return f"TLS fails: {reason}", action
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "ends the connection"
        return f"not reachable: {reason}", _reachable(machine)
    except msgspec.MsgspecError:
        return "another server answers", "correct mqtt.cluster, or stop that server"
    expected = f"pyaiot-{machine}"
    if info.server_name != expected:
        text = f"answers as {info.server_name[:80]!r}, not as {expected}"
        return text, "use the same mqtt.cluster on all machines, and the address of each there"
    return "", ""


def _reachable(machine: Machine) -> str:
    return f"start `aiot run` there, and let TCP port {machine.port} through the firewall"


async def _first_line(machine: Machine, tls: ssl.SSLContext | None) -> bytes:
    with name_lookup():
        reader, writer = await asyncio.open_connection(*machine, ssl=tls, limit=INFO_SIZE_MAX)
    with closing(writer):
        return await reader.readuntil(b"\r\n")
