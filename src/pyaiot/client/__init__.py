# SPDX-License-Identifier: BSD-3-Clause
"""The client library: nodes, readings, commands and history of a broker.

`from pyaiot.client import Client`
"""

from pyaiot.client.administration import ClusterRow, EmbeddedBrokerRow, PeerRow
from pyaiot.client.alerts import AlertRow
from pyaiot.client.client import Client
from pyaiot.client.errors import (
    AmbiguousLabel,
    ApiProblem,
    Behind,
    LoginNeeded,
    NoBroker,
    TooManyRows,
)
from pyaiot.client.history import AuditRow, Moment
from pyaiot.client.mappings import MappingRow, TriedMapping
from pyaiot.client.records import Conditions, NodeEdit, RegistryEntry, ResourceEntry
from pyaiot.client.rows import Row, Rows
from pyaiot.client.sync import SyncClient
from pyaiot.client.view import Event, Node
from pyaiot.client.watch import Watch
from pyaiot.errors import LinkLost, OperatorError, PyaiotError
from pyaiot.messages import (
    GatewayState,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    Receipt,
)
from pyaiot.model import Coordinates, ResourceType
from pyaiot.model.topic_mapping import TopicMapping

__all__ = [
    "AlertRow",
    "AmbiguousLabel",
    "ApiProblem",
    "AuditRow",
    "Behind",
    "Client",
    "ClusterRow",
    "Conditions",
    "Coordinates",
    "EmbeddedBrokerRow",
    "Event",
    "GatewayState",
    "LinkLost",
    "LoginNeeded",
    "MappingRow",
    "Moment",
    "NoBroker",
    "Node",
    "NodeAppeared",
    "NodeEdit",
    "NodeLeft",
    "NodeReset",
    "OperatorError",
    "PeerRow",
    "PyaiotError",
    "Reading",
    "Receipt",
    "RegistryEntry",
    "ResourceEntry",
    "ResourceType",
    "Row",
    "Rows",
    "SyncClient",
    "TooManyRows",
    "TopicMapping",
    "TriedMapping",
    "Watch",
]
