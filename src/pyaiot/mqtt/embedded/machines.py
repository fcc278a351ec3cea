# SPDX-License-Identifier: BSD-3-Clause
"""The machines whose embedded MQTT brokers are one cluster, and what they derive from its secret.
Pure.

All of them know the same client ids, so that any machine can continue the session of another one.
"""

import hashlib
import hmac
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pyaiot.errors import OperatorError
from pyaiot.mqtt.embedded.client_ids import ID_LENGTH, ClientIds
from pyaiot.transport.addresses import authority, is_loopback, parse_hosts

MACHINES_MIN: Final = 3
"""Machines of a cluster of MQTT brokers, at least: each message is stored on three, and the cluster
works while more than half of all machines are connected."""
MACHINES_MAX: Final = 7
"""The largest number of these machines. More are refused at the start."""
ROUTES_PORT: Final = 6222
"""The TCP port on which the machines connect to each other, if no other is set."""
SECRET_LENGTH_MIN: Final = 16
"""Characters of the secret of a cluster, at least. A shorter one is refused at the start."""
SHARES: Final = 12
"""Parts into which the nodes are divided. Each gateway of the cluster serves some of them; more
gateways than shares have nothing to do."""
_ALPHABET: Final = string.ascii_letters + string.digits


class Machine(NamedTuple):
    """Where the MQTT broker of a machine listens for the others."""

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)


@dataclass(frozen=True, slots=True)
class MqttCluster:
    """The cluster, as one of its machines sees it. The repr hides the secret."""

    machines: tuple[Machine, ...]
    own: Machine
    secret: str = field(repr=False)
    certificate_file: str = ""
    """Of this machine, for the connections between machines (PEM); empty: no TLS."""
    key_file: str = ""
    ca_file: str = ""
    """The certificate authority of all of them."""

    @property
    def server_name(self) -> str:
        """The name of the nats-server of this machine, which no other one has."""
        return f"pyaiot-{self.own}"

    @property
    def others(self) -> Sequence[Machine]:
        return [it for it in self.machines if it != self.own]

    @property
    def route_password(self) -> str:
        return self._derived("routes")

    @property
    def group(self) -> str:
        """Names this cluster among others, and reveals nothing of the secret."""
        return self._derived("group")

    @property
    def ids(self) -> ClientIds:
        """The client ids of this machine."""
        return self._ids_of(self.own)

    @property
    def share_ids(self) -> tuple[str, ...]:
        """The client ids of the sessions of all shares, which any machine may continue."""
        return tuple(self._derived(f"share {number}") for number in range(SHARES))

    @property
    def all_ids(self) -> frozenset[str]:
        """The client ids of the gateways and health checks of all machines."""
        found = {*self.share_ids}
        for machine in self.machines:
            ids = self._ids_of(machine)
            found |= {ids.gateway, ids.health}
        return frozenset(found)

    def _ids_of(self, machine: Machine) -> ClientIds:
        return ClientIds(
            self._derived(f"gateway {machine}"),
            # An MQTT-SN client may come to the gateway of another machine.
            self._derived("mqttsn"),
            self._derived(f"health {machine}"),
        )

    def _derived(self, purpose: str) -> str:
        digest = hmac.digest(self.secret.encode(), purpose.encode(), hashlib.sha256)
        return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:ID_LENGTH])


def read_machines(text: str, own: str) -> tuple[tuple[Machine, ...], Machine]:
    """All machines in `HOST[:PORT],…`, and the one that is called `own` there.

    Raises `OperatorError`.
    """
    machines = tuple(Machine(*it) for it in parse_hosts(text, ROUTES_PORT))
    for machine in machines:
        authority(*machine)
    if not MACHINES_MIN <= len(set(machines)) <= MACHINES_MAX:
        raise OperatorError(
            f"A cluster of MQTT brokers has {MACHINES_MIN} to {MACHINES_MAX} machines: list all of"
            " them, with this one, in --mqtt-cluster."
        )
    found = [it for it in machines if own in (it.host, str(it))]
    if len(found) != 1:
        raise OperatorError(
            "Set --mqtt-cluster-listen to the address of this machine as it is in --mqtt-cluster,"
            f" for example {machines[0].host}."
        )
    return tuple(dict.fromkeys(machines)), found[0]


def check_machines(cluster: MqttCluster) -> None:
    """Raise `OperatorError` for a cluster that others could join, or whose secret is guessable."""
    if len(cluster.secret) < SECRET_LENGTH_MIN:
        raise OperatorError(
            f"The secret of a cluster of MQTT brokers has at least {SECRET_LENGTH_MIN} characters:"
            " set mqtt.cluster_secret_file to a file with it, the same on all machines."
        )
    has_tls = bool(cluster.certificate_file and cluster.ca_file)
    if not has_tls and not all(is_loopback(it.host) for it in cluster.machines):
        raise OperatorError(
            "The MQTT brokers of several machines connect with TLS: set"
            " mqtt.cluster_certificate_file and mqtt.cluster_ca_file."
        )
