# SPDX-License-Identifier: BSD-3-Clause
"""The nodes of the registry, online or not: queries, edits, admission, commands to many nodes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Final, Unpack
from urllib.parse import quote

import msgspec

from pyaiot.client.address import path
from pyaiot.client.api import ANSWER_LIMIT_S, HttpApi
from pyaiot.client.errors import AmbiguousLabel, ApiProblem
from pyaiot.client.records import (
    ALL_STATES,
    Conditions,
    NodeDocument,
    NodeEdit,
    NodesDocument,
    RegistryEntry,
    body_of,
    query_of,
)
from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.messages import COMMAND_TIMEOUT_MAX_S, Receipt, ReceiptState, check_name
from pyaiot.model import UNKNOWN, ResourceType

REGISTRATIONS_MAX: Final = 1000
"""Nodes of one request to register, the limit of the broker. More are sent in several requests."""
COMMANDS_PER_S: Final = 20.0
"""Pace at which the broker sends the commands of `set_many`."""
NODES_OF_COMMAND_MAX: Final = 1000
"""Nodes of one `set_many`, the limit of the broker."""
UIDS_QUERY_MAX: Final = 4000
"""Characters of the uids in one query. More uids take several queries."""
UIDS_MAX: Final = 64
"""Uids in one query, the limit of the broker."""
UNKNOWN_NODE: Final = "unknown-node"
"""The kind of the `ApiProblem` for a node that the registry does not have."""


class _CommandStatus(msgspec.Struct):
    id: str
    uid: str
    state: ReceiptState
    detail: str = ""
    elapsed_ms: float = 0.0


class _CommandStatuses(msgspec.Struct):
    commands: list[_CommandStatus]


class _ChangedNodes(msgspec.Struct):
    uids: list[str]


_node: Final = msgspec.json.Decoder(NodeDocument)
_nodes: Final = msgspec.json.Decoder(NodesDocument)
_statuses: Final = msgspec.json.Decoder(_CommandStatuses)
_changed: Final = msgspec.json.Decoder(_ChangedNodes)


class RegistryClient(ABC):
    """Methods of a client that need no live connection.

    Where they take a `name`, it is the uid of a node, or else its label in any case of letters, if
    only one node has it. They raise `ApiProblem` with the kind `unknown-node` if no node has the
    name, and `AmbiguousLabel` if several have it.
    """

    @property
    @abstractmethod
    def _api(self) -> HttpApi: ...

    # -- finding --------------------------------------------------------------------------------

    async def find_nodes(
        self, *, limit: int | None = None, **conditions: Unpack[Conditions]
    ) -> list[RegistryEntry]:
        """The nodes of the registry that fulfil `Conditions`, in the order in which they came.

        Without `state`, these are online and offline nodes. `limit`: only the first ones.
        """
        found: list[RegistryEntry] = []
        cursor: list[tuple[str, str]] = []
        query = query_of(conditions)
        if query is None:
            return found
        while True:
            body = await self._api.read("GET", path("nodes"), [*query, *cursor])
            page = self._api.decode(_nodes, body, "nodes")
            found += [document.record() for document in page.nodes]
            if page.next is None or (limit is not None and len(found) >= limit):
                return found[:limit]
            cursor = [("cursor", page.next)]

    async def find_uids(self, uids: Iterable[str]) -> dict[str, RegistryEntry]:
        """The nodes with these uids that the registry has, in any state."""
        found: dict[str, RegistryEntry] = {}
        for some in _batches(uids):
            nodes = await self.find_nodes(uid=some, state=ALL_STATES)
            found |= {node.uid: node for node in nodes}
        return found

    async def node(self, name: str) -> RegistryEntry:
        """One node by uid or label, in any state, with the types of its resources."""
        uid = (await self._find(name)).uid
        body = await self._api.read("GET", path("nodes", uid))
        return self._api.decode(_node, body, "a node").record()

    async def _find(self, name: str) -> RegistryEntry:
        """One node by uid or label, as pages of nodes have it."""
        check_name(name, "uid or label")
        if found := await self.find_nodes(uid=name, state=ALL_STATES):
            return found[0]
        wanted = name.strip().casefold()
        candidates = await self.find_nodes(text=name, state=ALL_STATES) if wanted else []
        labelled = [node for node in candidates if node.label.casefold() == wanted]
        if not labelled:
            raise ApiProblem(f"There is no node {name}.", status=404, kind=UNKNOWN_NODE)
        if len(labelled) > 1:
            raise AmbiguousLabel(labelled[0].label, [node.uid for node in labelled])
        return labelled[0]

    async def uid_of(self, name: str) -> str:
        """The uid of the node with this uid or label."""
        return (await self._find(name)).uid

    # -- edits ----------------------------------------------------------------------------------

    async def edit(
        self, name: str, *, revision: int | None = None, **changes: Unpack[NodeEdit]
    ) -> RegistryEntry:
        """Change what people added to a node (`NodeEdit`). It is stored when this returns.

        `revision`: that of the record that was read. If people edited the node since then, it
        raises `ApiProblem` with the kind `edited-meanwhile`.
        """
        body = body_of(changes)
        uid = await self.uid_of(name)
        return await self._patch(uid, body, _if_match(revision))

    async def set_type(self, name: str, resource: str, **fields: Any) -> ResourceType:
        """Set the type of a resource of a node: fields of `ResourceType`. None clears a field.

        These fields take precedence over those from devices and gateways. Returns the resulting
        type. Raises `ApiProblem` with the kind `bad-request` for a type that is not valid.
        """
        entry = await self.edit(name, types={resource: fields})
        return entry.resource_types.get(resource, UNKNOWN)

    async def clear_type(self, name: str, resource: str) -> ResourceType:
        """Forget what people stated of a resource. Returns what is known without it."""
        entry = await self.edit(name, types={resource: None})
        return entry.resource_types.get(resource, UNKNOWN)

    async def accept(self, name: str) -> RegistryEntry:
        """Accept a new node that waits, or lift a ban."""
        return await self._patch(await self.uid_of(name), {"admission": "accepted"})

    async def ban(self, name: str) -> RegistryEntry:
        """Refuse all messages of a node from now on."""
        return await self._patch(await self.uid_of(name), {"admission": "banned"})

    async def forget(self, name: str, *, revision: int | None = None) -> RegistryEntry:
        """Remove an offline node with all that people added. Returns what it was.

        The history keeps its readings. A node that is online raises `ApiProblem` with the kind
        `online`.
        """
        record = await self._find(name)
        await self._api.read("DELETE", path("nodes", record.uid), headers=_if_match(revision))
        return record

    async def restore(self, uid: str) -> RegistryEntry:
        """Undo `forget` within 10 minutes. A forgotten node has no label: pass its uid."""
        body = await self._api.read("POST", path("nodes", uid, "restore"))
        return self._api.decode(_node, body, "a node").record()

    async def register(self, nodes: Iterable[Mapping[str, Any]]) -> list[str]:
        """Add nodes, each `{"uid": …}` with fields of `NodeEdit`, or edit them. Returns the uids.

        The nodes need not have been seen. Up to 1000 nodes, all or none are changed; more are sent
        in several requests.
        """
        bodies = [body_of(node) for node in nodes]
        uids: list[str] = []
        for start in range(0, len(bodies), REGISTRATIONS_MAX):
            some = {"nodes": bodies[start : start + REGISTRATIONS_MAX]}
            body = await self._api.read("POST", path("nodes"), body=some)
            uids += self._api.decode(_changed, body, "uids").uids
        return uids

    # -- commands -------------------------------------------------------------------------------

    async def set_many(
        self,
        resource: str,
        value: object,
        *,
        timeout_s: float = 5.0,
        **conditions: Unpack[Conditions],
    ) -> dict[str, Receipt]:
        """Write `value` to a resource of all nodes that fulfil `Conditions`. Receipts by uid.

        At least one condition is required. Offline nodes get the receipt `unreachable`. At most
        1000 nodes; the broker sends 20 commands a second after a burst of 40.
        """
        query = query_of(conditions)
        if query is None:
            return {}
        if not query:
            raise OperatorError("set_many requires a condition, such as tag=.")
        body = {"resource": resource, "payload": payload_of(value), "timeout": timeout_s}
        longest = NODES_OF_COMMAND_MAX / COMMANDS_PER_S + COMMAND_TIMEOUT_MAX_S + ANSWER_LIMIT_S
        answer = await self._api.read(
            "POST", path("commands"), query, body=body, answer_limit_s=longest
        )
        statuses = self._api.decode(_statuses, answer, "receipts")
        return {
            it.uid: Receipt(id=it.id, state=it.state, detail=it.detail, elapsed_ms=it.elapsed_ms)
            for it in statuses.commands
        }

    # -- parts ----------------------------------------------------------------------------------

    async def _patch(
        self, uid: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> RegistryEntry:
        answer = await self._api.read("PATCH", path("nodes", uid), body=body, headers=headers)
        return self._api.decode(_node, answer, "a node").record()

    async def _uid_or_name(self, name: str) -> str:
        """The uid for a uid or label; the name itself if the registry has no such node."""
        try:
            return await self.uid_of(name)
        except ApiProblem as problem:
            if problem.kind != UNKNOWN_NODE:
                raise
            return name


def payload_of(value: object) -> str:
    """The payload of a value: text unchanged, everything else as JSON (`1`, `true`)."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"the value is neither text nor JSON: {error}") from error


def _if_match(revision: int | None) -> dict[str, str] | None:
    # The broker compares only the first part; the second is a hash of the values.
    return None if revision is None else {"If-Match": f'"{revision}-{0:016x}"'}


def _batches(uids: Iterable[str]) -> Iterable[list[str]]:
    """Uids in lists that fit into one query each."""
    some: list[str] = []
    size = 0
    for uid in uids:
        length = len(quote(uid)) + len("&uid=")
        if some and (len(some) == UIDS_MAX or size + length > UIDS_QUERY_MAX):
            yield some
            some, size = [], 0
        some.append(uid)
        size += length
    if some:
        yield some
