# SPDX-License-Identifier: BSD-3-Clause
"""All nodes that were ever seen. Pure. `ts` is Unix time in seconds."""

import itertools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from pyaiot.errors import Refused
from pyaiot.messages import Reading, RegisteredNode
from pyaiot.registry.admission import AdmissionRule, NodeAdmission
from pyaiot.registry.forgettable import OFFLINE_MAX, Forgettable
from pyaiot.registry.forgotten_nodes import ForgottenNodes
from pyaiot.registry.last_values import (
    NO_VALUES,
    VALUES_SMALL,
    ValuesBudget,
    encode_values,
    size_of,
)
from pyaiot.registry.record import Edit, NodeRecord, NodeState, edited_copy, registered_node
from pyaiot.registry.refusals import (
    Banned,
    RegistryFull,
    UnknownNode,
    check_revision,
)
from pyaiot.registry.resource_types import DescribedTypes, Types
from pyaiot.registry.search_texts import SearchTexts
from pyaiot.registry.unwritten import Unwritten

EDITED_MAX: Final = 100_000
"""Largest number of edited nodes. Further ones are refused."""
LEFTOVER_SIZE_MAX: Final = 4 * VALUES_SMALL
"""Values of a node up to this size are encoded later. Larger ones are encoded at once."""


class Registry:
    """The records of all nodes, in the order in which they were first seen."""

    def __init__(
        self,
        *,
        admission: AdmissionRule = "open",
        admission_of: Mapping[str, AdmissionRule] = MappingProxyType({}),
        offline_max: int = OFFLINE_MAX,
    ) -> None:
        """`admission`, `admission_of`: see `NodeAdmission.set_rules`."""
        self.records: dict[str, NodeRecord] = {}
        self.changes = 0
        """Incremented by each change that is visible to clients."""
        self.refused = 0
        """Number of messages refused because their node waits or is banned, since the start."""
        self._admission = NodeAdmission(admission, admission_of)
        self.unwritten = Unwritten(self.records)
        self._leftover: dict[str, tuple[Reading, ...]] = {}
        """Readings of nodes that went offline, which are not encoded into their record yet."""
        self._budget = ValuesBudget()
        self._described = DescribedTypes()
        self._forgettable = Forgettable(offline_max)
        self._evicted: list[str] = []
        """Nodes that were removed to make room, of which clients have not been notified yet."""
        self.texts = SearchTexts()
        self._online = 0
        """Number of accepted nodes that are online."""
        self._banned = 0
        self._edited = 0
        self._number = 0
        self._forgotten = ForgottenNodes()

    def set_admission(self, rule: AdmissionRule, of: Mapping[str, AdmissionRule]) -> None:
        """Replace the rules for new nodes. Registered nodes are not affected."""
        self._admission.set_rules(rule, of)

    def __len__(self) -> int:
        return len(self.records)

    def get(self, uid: str) -> NodeRecord | None:
        return self.records.get(uid)

    @property
    def waiting(self) -> int:
        """Number of new nodes that wait for approval."""
        return self._admission.waiting

    def counts(self) -> dict[NodeState, int]:
        """The number of nodes in each state."""
        offline = len(self.records) - self._online - self.waiting - self._banned
        return {
            "online": self._online,
            "offline": offline,
            "waiting": self.waiting,
            "banned": self._banned,
        }

    def load(self, records: Iterable[NodeRecord]) -> list[NodeRecord]:
        """Add records of a store. Return those of nodes that have been seen since the start: they
        keep their observations, and take the annotations of the store.
        """
        added, present = [], []
        for record in records:
            seen = self.records.get(record.uid)
            if seen is None:
                self._add(record)
                added.append(record)
                continue
            seen.first_seen = record.first_seen or seen.first_seen
            seen.boots += record.boots
            self.replace(record)
            present.append(seen)
        added.sort(key=lambda record: record.last_seen)
        for record in added:
            self._keep_values(record, record.values)
            self._may_be_forgotten(record)
        self.changes += 1
        return present

    # -- what gateways report -------------------------------------------------------------------

    def appear(
        self, uid: str, gateway: str, protocol: str, ts: float, *, secured: bool = False
    ) -> NodeRecord:
        """Record that a node is online. Returns its record, whose `admission` is `accepted` or
        `waiting`.

        `secured`: the node authenticated with a credential, so it is admitted. Raises `Banned`, or
        `Refused` for a new node that is not admitted, and for a node without the credential that
        its uid requires.
        """
        record = self.records.get(uid)
        if record is not None and record.secured and not secured:
            self.refused += 1
            raise Refused(
                f"the node {uid} had a credential, and this claim has none; if the credential was"
                f" removed: aiot node forget {uid}"
            )
        if record is None:
            record = self._admit(uid, gateway, protocol, ts, secured=secured)
        elif record.admission == "banned":
            self.refused += 1
            raise Banned(f"the node {uid} is banned")
        elif record.admission == "waiting":
            self._admission.ended_waiting(record.gateway)
            self._admission.began_waiting(gateway)
        self._forgettable.discard(uid, record.gateway)
        self._online += record.admission == "accepted" and not record.is_online
        record.gateway, record.protocol = gateway, protocol
        record.secured = secured
        record.first_seen = record.first_seen or ts
        # The recorded time may be in the future, after the clock was set back.
        record.last_seen = ts
        record.is_online, record.reason = True, ""
        self._leftover.pop(uid, None)
        self._keep_values(record, NO_VALUES)
        self._changed(record)
        return record

    def set_secured(self, record: NodeRecord, *, secured: bool) -> None:
        """Record that the node was given a credential, or that its credential was removed."""
        if record.secured is not secured:
            record.secured = secured
            self._changed(record)

    def reboot(self, record: NodeRecord, ts: float) -> None:
        """Record a reboot."""
        record.boots += 1
        record.last_seen = ts
        self._changed(record)

    def describe(self, record: NodeRecord, types: Types, *, complete: bool) -> frozenset[str]:
        """Record types that a gateway describes. Returns those that changed. Raises `Refused`."""
        before = record.described
        record.described = self._described.merged(
            *(record.uid, record.gateway, before, types), complete=complete
        )
        changed = dict(before).items() ^ dict(record.described).items()
        if changed:
            self._changed(record)
        return frozenset(resource for resource, _ in changed)

    def seen(self, record: NodeRecord, ts: float) -> None:
        """Record a sign of life. It is stored later, and clients are not notified."""
        if ts > record.last_seen:
            record.last_seen = ts
            self.unwritten.seen(record.uid)

    def leave(
        self, record: NodeRecord, reason: str, readings: tuple[Reading, ...], ts: float
    ) -> None:
        """Record that the node is offline. A waiting node without edits is removed.

        Readings with a time in the future do not change when the node was last seen.
        """
        self._online -= record.state == "online"
        record.is_online = False
        if not record.is_stored:
            self._remove(record)
            return
        record.reason = reason
        times = (it.ts for it in readings if it.ts <= ts)
        record.last_seen = max(record.last_seen, max(times, default=0.0))
        if size_of(readings) > LEFTOVER_SIZE_MAX:
            self._keep_values(record, encode_values(readings))
        else:
            self._leftover[record.uid] = readings
        self._changed(record)
        self._may_be_forgotten(record)

    # -- what people do -------------------------------------------------------------------------

    def edited(self, uid: str, edit: Edit, *, revision: int | None = None) -> NodeRecord:
        """A copy of the record with the edit applied. Check its room and store it, then call
        `replace`.

        `revision`: that of the record that was edited; None: any. Raises `UnknownNode`,
        `StaleRevision`, `ProtocolError`.
        """
        record = self.records.get(uid)
        if record is None:
            raise UnknownNode(f"there is no node {uid[:64]!r}")
        check_revision(record, revision)
        return edited_copy(record, edit)

    def provisioned(self, uid: str, edit: Edit) -> NodeRecord:
        """Like `edited`, for a node that may not have been seen yet. The node is accepted."""
        record = self.records.get(uid) or NodeRecord(uid=uid)
        if record.admission == "waiting" and edit.admission is msgspec.UNSET:
            edit = msgspec.structs.replace(edit, admission="accepted")
        return edited_copy(record, edit)

    def check_room(self, changed: Iterable[NodeRecord]) -> None:
        """Raises `RegistryFull` if these copies would exceed the limit of edited nodes."""
        added = 0
        for copy in changed:
            record = self.records.get(copy.uid)
            added += copy.is_edited and not (record is not None and record.is_edited)
        if added and self._edited + added > EDITED_MAX:
            raise RegistryFull(f"people may edit at most {EDITED_MAX} nodes")

    def replace(self, changed: NodeRecord) -> NodeRecord:
        """Apply the annotations of a copy that has been stored. Returns the record."""
        record = self.records.get(changed.uid)
        if record is None:
            record = NodeRecord(uid=changed.uid)
            self._add(record)
        if record.admission == "waiting":
            self._admission.ended_waiting(record.gateway)
        self._forgettable.discard(record.uid, record.gateway)
        self._edited += changed.is_edited - record.is_edited
        self._online -= record.state == "online"
        self._banned -= record.admission == "banned"
        record.annotations = changed.annotations
        self.texts.changed(record.number)
        record.revision = changed.revision
        record.admission = changed.admission
        if record.admission == "waiting":
            self._admission.began_waiting(record.gateway)
        self._online += record.state == "online"
        self._banned += record.admission == "banned"
        self._may_be_forgotten(record)
        self.unwritten.is_back(record.uid)
        self._changed(record)
        return record

    def forget(self, uid: str, now: float) -> NodeRecord:
        """Remove an offline node, which `restore` can bring back. `now` is the time of the event
        loop. Raises `UnknownNode`, or `Refused` if the node is online.
        """
        record = self.records.get(uid)
        if record is None:
            raise UnknownNode(f"there is no node {uid[:64]!r}")
        if record.is_online and record.admission == "accepted":
            raise Refused(f"{record.name} is online and would come back at once: ban it instead")
        self.values_of(record)
        self._remove(record)
        if record.is_stored:
            self._forgotten.add(record, now)
        return record

    def forgotten(self, uid: str, now: float) -> NodeRecord:
        """A removed node, to be stored before `restore` is called: see `ForgottenNodes`."""
        return self._forgotten.restorable(uid, self.records.get(uid), now)

    def restore(self, record: NodeRecord) -> NodeRecord:
        """Bring back a node that `forgotten` returned. Returns its record."""
        self._forgotten.restored(record.uid)
        present = self.records.get(record.uid)
        if present is not None:
            present.first_seen, present.boots = record.first_seen, record.boots
            return self.replace(record)
        self._add(record)
        self._keep_values(record, record.values)
        self._changed(record)
        self._may_be_forgotten(record)
        return record

    # -- views ----------------------------------------------------------------------------------

    def values_of(self, record: NodeRecord) -> bytes:
        """The last values of an offline node, as JSON."""
        readings = self._leftover.pop(record.uid, None)
        if readings is not None:
            self._keep_values(record, encode_values(readings))
        return record.values

    def encode_leftover(self, count: int) -> bool:
        """Encode the values of up to `count` nodes that went offline. True: there are more."""
        for uid in list(itertools.islice(self._leftover, count)):
            self.values_of(self.records[uid])
        return bool(self._leftover)

    def message(
        self, record: NodeRecord, readings: tuple[Reading, ...] | None = None
    ) -> RegisteredNode:
        """The record for clients. `readings`: those of a node that waits for approval."""
        values = record.values if record.is_online else self.values_of(record)
        if readings is not None:
            values = encode_values(readings)
        return registered_node(record, values)

    def named(self, name: str) -> list[NodeRecord]:
        """The nodes with this uid, or otherwise with this label, ignoring case."""
        record = self.records.get(name)
        if record is not None:
            return [record]
        wanted = name.casefold()
        return [it for it in self.records.values() if it.annotations.label.casefold() == wanted]

    def take_evicted(self) -> list[str]:
        """Nodes that were removed to make room since the last call."""
        evicted, self._evicted = self._evicted, []
        return evicted

    # -- parts ----------------------------------------------------------------------------------

    def _admit(
        self, uid: str, gateway: str, protocol: str, ts: float, *, secured: bool
    ) -> NodeRecord:
        try:
            waits = not secured and self._admission.must_wait(uid, gateway, protocol)
        except Refused:
            self.refused += 1
            raise
        record = NodeRecord(uid=uid, gateway=gateway, protocol=protocol, first_seen=ts)
        if waits:
            record.admission = "waiting"
        self._add(record)
        return record

    def _add(self, record: NodeRecord) -> None:
        self._number += 1
        record.number = self._number
        self.records[record.uid] = record
        record.described = self._described.load(record.uid, record.gateway, record.described)
        self.texts.changed(record.number)
        self.unwritten.is_back(record.uid)
        self._edited += record.is_edited
        self._banned += record.admission == "banned"
        if record.admission == "waiting":
            self._admission.began_waiting(record.gateway)

    def _changed(self, record: NodeRecord) -> None:
        self.changes += 1
        self.unwritten.observed(record.uid)

    def _remove(self, record: NodeRecord) -> None:
        self._forgettable.discard(record.uid, record.gateway)
        del self.records[record.uid]
        self._edited -= record.is_edited
        self._banned -= record.admission == "banned"
        self._leftover.pop(record.uid, None)
        self._budget.keep(record.uid, 0)
        self._described.keep(record.uid, "", 0)
        self.changes += 1
        if record.admission == "waiting":
            self._admission.ended_waiting(record.gateway)
        self.unwritten.remove(record)

    def _may_be_forgotten(self, record: NodeRecord) -> None:
        """Queue an offline node without edits for removal, and make room for it. A node with a
        credential is never removed, because its uid would be free for nodes without one.
        """
        if record.is_online or record.is_edited or record.admission != "accepted":
            return
        if record.secured:
            return
        self._forgettable.add(record.uid, record.gateway)
        excess = self._forgettable.excess(record.gateway)
        if excess is not None:
            self._remove(self.records[excess])
            self._evicted.append(excess)

    def _keep_values(self, record: NodeRecord, values: bytes) -> None:
        """Keep the last values of a node, within the memory limit for all nodes."""
        record.values = values
        for uid in self._budget.keep(record.uid, len(values)):
            dropped = self.records[uid]
            dropped.values = NO_VALUES
            self.unwritten.observed(uid)
