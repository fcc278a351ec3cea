# SPDX-License-Identifier: BSD-3-Clause
"""The nodes that were ever seen, who is admitted, and what changed since it was stored. Pure.

`ts` is Unix time in seconds. A store calls `take_changes` and writes what it returns.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.errors import Refused
from pyaiot.messages import Reading, RegisteredNode
from pyaiot.registry.record import (
    NOTHING_ADDED,
    Edit,
    NodeRecord,
    decode_values,
    encode_values,
)

OFFLINE_MAX: Final = 100_000
"""Offline nodes that nobody edited; the setting `registry.offline_max`. Beyond: the one that has
been offline for longest is forgotten."""
OFFLINE_OF_GATEWAY_SHARE: Final = 0.5
"""The share of these that the nodes of one gateway may take. Beyond: its oldest is forgotten."""
EDITED_MAX: Final = 100_000
"""Nodes that people edited. One more is refused."""
WAITING_MAX: Final = 1000
"""Newcomers that wait for approval. One more is refused."""
WAITING_OF_GATEWAY_MAX: Final = 500
"""The same of one gateway."""
FORGOTTEN_MAX: Final = 1000
FORGOTTEN_LIFE_S: Final = 600.0
"""Forgotten nodes that can be restored, and for how long."""

AdmissionRule: TypeAlias = Literal["open", "approve", "known"]
"""What happens to a node that the registry does not have. `open`: it is accepted. `approve`: it
waits until somebody accepts it. `known`: it is refused."""


class UnknownNode(Refused):
    """The registry does not have the node."""


class StaleRevision(Refused):
    """Somebody else edited the node in the meantime."""


class RegistryFull(Refused):
    """The registry has no room for one more node that people edited."""


class Banned(Refused):
    """The node is banned: its messages are refused."""


class Registry:
    """Records of nodes, in the order in which they were first seen."""

    def __init__(
        self,
        *,
        admission: AdmissionRule = "open",
        admission_of: Mapping[str, AdmissionRule] = MappingProxyType({}),
        offline_max: int = OFFLINE_MAX,
    ) -> None:
        """`admission_of`: rules for the nodes of gateways of some protocols, by its name in lower
        case. `admission`: for all others."""
        self.records: dict[str, NodeRecord] = {}
        self.changes = 0
        """Grows with each change that clients can see."""
        self.refused = 0
        """Newcomers and banned nodes that were refused, since the start."""
        self._admission = admission
        self._admission_of = {name.lower(): rule for name, rule in admission_of.items()}
        self._offline_max = offline_max
        self._observed: dict[str, None] = {}
        """Nodes whose observed part is to be written."""
        self._seen: dict[str, None] = {}
        """Nodes of which only the time changed that they were last seen."""
        self._removed: dict[str, None] = {}
        """Nodes to be removed from the store."""
        self._leftover: dict[str, tuple[Reading, ...]] = {}
        """Readings of nodes that went offline, not yet encoded into their record."""
        self._forgettable: OrderedDict[str, None] = OrderedDict()
        """Offline nodes that nobody edited, the first one to go offline first."""
        self._forgettable_of: dict[str, OrderedDict[str, None]] = {}
        """The same by gateway."""
        self._waiting_of: Counter[str] = Counter()
        self._edited = 0
        self._number = 0
        self._forgotten: OrderedDict[str, tuple[NodeRecord, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.records)

    def get(self, uid: str) -> NodeRecord | None:
        return self.records.get(uid)

    @property
    def waiting(self) -> int:
        """Newcomers that wait for approval."""
        return self._waiting_of.total()

    def load(self, records: Iterable[NodeRecord]) -> None:
        """Add records of a store. A node that was seen meanwhile keeps what was observed of it."""
        added = []
        for record in records:
            present = self.records.get(record.uid)
            if present is None:
                self._add(record)
                added.append(record)
                continue
            present.first_seen = record.first_seen or present.first_seen
            present.boots += record.boots
            if record.is_edited and not present.is_edited:
                self._edited += 1
                present.annotations = record.annotations
                present.revision = record.revision
                present.admission = record.admission
        added.sort(key=lambda record: record.last_seen)
        for record in added:
            self._may_be_forgotten(record)
        self.changes += 1

    # -- what gateways report -------------------------------------------------------------------

    def appear(self, uid: str, gateway: str, protocol: str, ts: float) -> NodeRecord:
        """A node is online. Returns its record, whose `admission` is `accepted` or `waiting`.

        Raises `Banned`, or `Refused` for a newcomer that is not admitted.
        """
        record = self.records.get(uid)
        if record is None:
            record = self._admit(uid, gateway, protocol, ts)
        elif record.admission == "banned":
            self.refused += 1
            raise Banned(f"the node {uid} is banned")
        self._no_longer_forgettable(record)
        record.gateway, record.protocol = gateway, protocol
        record.first_seen = record.first_seen or ts
        record.last_seen = max(record.last_seen, ts)
        record.is_online, record.reason, record.values = True, "", b"[]"
        self._leftover.pop(uid, None)
        self._changed(record)
        return record

    def reboot(self, record: NodeRecord, ts: float) -> None:
        """The node rebooted."""
        record.boots += 1
        record.last_seen = max(record.last_seen, ts)
        self._changed(record)

    def seen(self, record: NodeRecord, ts: float) -> None:
        """A sign of life. It is stored later, and not announced to clients."""
        if ts > record.last_seen:
            record.last_seen = ts
            self._seen[record.uid] = None

    def leave(self, record: NodeRecord, reason: str, readings: tuple[Reading, ...]) -> None:
        """The node is offline. A newcomer that waits is removed."""
        record.is_online = False
        if record.admission == "waiting":
            self._remove(record)
            return
        record.reason = reason
        record.last_seen = max(record.last_seen, max((it.ts for it in readings), default=0.0))
        self._leftover[record.uid] = readings
        self._changed(record)
        self._may_be_forgotten(record)

    # -- what people do -------------------------------------------------------------------------

    def edited(self, uid: str, edit: Edit, *, revision: int | None = None) -> NodeRecord:
        """A copy of the record with the edit. Store it, then call `replace`.

        `revision`: that of the record that was edited; None: whatever it is. Raises `UnknownNode`,
        `StaleRevision`, `RegistryFull`, `ProtocolError`.
        """
        record = self.records.get(uid)
        if record is None:
            raise UnknownNode(f"there is no node {uid[:64]!r}")
        if revision is not None and revision != record.revision:
            raise StaleRevision(f"{record.name} was edited: revision {record.revision}")
        return self._edited_copy(record, edit)

    def provisioned(self, uid: str, edit: Edit) -> NodeRecord:
        """Like `edited`, for a node that may not have been seen yet. It is accepted."""
        record = self.records.get(uid) or NodeRecord(uid=uid)
        if record.admission == "waiting" and edit.admission is msgspec.UNSET:
            edit = msgspec.structs.replace(edit, admission="accepted")
        return self._edited_copy(record, edit)

    def replace(self, changed: NodeRecord) -> NodeRecord:
        """Take over what people edited from a copy that is stored. Returns the record."""
        record = self.records.get(changed.uid)
        if record is None:
            record = NodeRecord(uid=changed.uid)
            self._add(record)
        if record.admission == "waiting":
            self._waiting_of[record.gateway] -= 1
        self._no_longer_forgettable(record)
        self._edited += changed.is_edited - record.is_edited
        record.annotations = changed.annotations
        record.revision = changed.revision
        record.admission = changed.admission
        if record.admission == "waiting":
            self._waiting_of[record.gateway] += 1
        self._may_be_forgotten(record)
        self._removed.pop(record.uid, None)
        self._changed(record)
        return record

    def forget(self, uid: str, now: float) -> NodeRecord:
        """Remove an offline node. `restore` brings it back. `now` is the loop's time.

        Raises `UnknownNode`, or `Refused` if the node is online.
        """
        record = self.records.get(uid)
        if record is None:
            raise UnknownNode(f"there is no node {uid[:64]!r}")
        if record.is_online and record.admission == "accepted":
            raise Refused(f"{record.name} is online and would come back at once: ban it instead")
        record.values = self.values_of(record)
        self._remove(record)
        if record.admission != "waiting":
            self._forgotten[uid] = record, now
            if len(self._forgotten) > FORGOTTEN_MAX:
                self._forgotten.popitem(last=False)
        return record

    def forgotten(self, uid: str, now: float) -> NodeRecord:
        """A node that was forgotten, to be stored before `restore`. Raises `UnknownNode`."""
        record, forgotten_at = self._forgotten.get(uid, (None, 0.0))
        if record is None or now - forgotten_at > FORGOTTEN_LIFE_S or uid in self.records:
            raise UnknownNode(f"there is no forgotten node {uid[:64]!r}")
        return record

    def restore(self, record: NodeRecord) -> None:
        """Bring a forgotten node back."""
        self._forgotten.pop(record.uid, None)
        if record.uid in self.records:
            return
        self._add(record)
        self._removed.pop(record.uid, None)
        self._may_be_forgotten(record)
        self._changed(record)

    # -- views ----------------------------------------------------------------------------------

    def values_of(self, record: NodeRecord) -> bytes:
        """Last values of a node that is not online, as JSON."""
        readings = self._leftover.pop(record.uid, None)
        if readings is not None:
            record.values = encode_values(readings)
        return record.values

    def message(
        self, record: NodeRecord, readings: tuple[Reading, ...] | None = None
    ) -> RegisteredNode:
        """The record for clients. `readings`: those of a newcomer that waits."""
        added = record.annotations
        values = record.values if record.is_online else self.values_of(record)
        if readings is not None:
            values = encode_values(readings)
        return RegisteredNode(
            uid=record.uid,
            state=record.state,
            protocol=record.protocol,
            gateway=record.gateway,
            first_seen=record.first_seen,
            last_seen=record.last_seen,
            boots=record.boots,
            reason=record.reason,
            revision=record.revision,
            label=added.label,
            room=added.room,
            latitude=added.latitude,
            longitude=added.longitude,
            tags=added.tags,
            notes=added.notes,
            interval_s=added.interval_s,
            offline_after_s=added.offline_after_s,
            values=() if values == b"[]" else tuple(decode_values(values)),
        )

    def named(self, name: str) -> list[NodeRecord]:
        """The nodes with this uid, or else with this label, in any case of letters."""
        record = self.records.get(name)
        if record is not None:
            return [record]
        wanted = name.casefold()
        return [it for it in self.records.values() if it.annotations.label.casefold() == wanted]

    # -- the store ------------------------------------------------------------------------------

    def observed(self, uid: str) -> None:
        """The readings of this node changed: its observed part is to be written."""
        self._observed[uid] = None

    def observe_seen(self) -> None:
        """What `seen` was called with is to be written, too."""
        self._observed |= self._seen
        self._seen.clear()

    def take_observed(self, count: int) -> list[NodeRecord]:
        """At most `count` nodes whose observed part changed."""
        taken: list[NodeRecord] = []
        while self._observed and len(taken) < count:
            uid = next(iter(self._observed))
            del self._observed[uid]
            record = self.records.get(uid)
            if record is not None and record.admission != "waiting":
                taken.append(record)
        return taken

    def take_removed(self, count: int) -> list[str]:
        """At most `count` uids to remove from the store."""
        taken = list(self._removed)[:count]
        for uid in taken:
            del self._removed[uid]
        return taken

    def not_written(self, records: Iterable[NodeRecord], removed: Iterable[str]) -> None:
        """The store failed: these changes are to be written later."""
        for record in records:
            if self.records.get(record.uid) is record:
                self._observed[record.uid] = None
        for uid in removed:
            if uid not in self.records:
                self._removed[uid] = None

    # -- parts ----------------------------------------------------------------------------------

    def _admit(self, uid: str, gateway: str, protocol: str, ts: float) -> NodeRecord:
        rule = self._admission_of.get(protocol.lower(), self._admission)
        if rule == "known":
            self.refused += 1
            raise Refused(f"the node {uid} is not registered, and others are not admitted")
        record = NodeRecord(uid=uid, gateway=gateway, protocol=protocol, first_seen=ts)
        if rule == "approve":
            self._check_room_to_wait(gateway)
            record.admission = "waiting"
            self._waiting_of[gateway] += 1
        self._add(record)
        self._removed.pop(uid, None)
        return record

    def _add(self, record: NodeRecord) -> None:
        self._number += 1
        record.number = self._number
        self.records[record.uid] = record
        self._edited += record.is_edited

    def _check_room_to_wait(self, gateway: str) -> None:
        for count, limit, where in (
            (self._waiting_of[gateway], WAITING_OF_GATEWAY_MAX, f"at the gateway {gateway}"),
            (self.waiting, WAITING_MAX, "here"),
        ):
            if count >= limit:
                self.refused += 1
                raise Refused(f"{limit} new nodes wait for approval {where} already")

    def _edited_copy(self, record: NodeRecord, edit: Edit) -> NodeRecord:
        annotations = edit.apply(record.annotations)
        copy = msgspec.structs.replace(
            record,
            revision=record.revision + 1,
            annotations=NOTHING_ADDED if annotations == NOTHING_ADDED else annotations,
        )
        if edit.admission is not msgspec.UNSET:
            copy.admission = edit.admission
        if copy.is_edited and not record.is_edited and self._edited >= EDITED_MAX:
            raise RegistryFull(f"people have edited {EDITED_MAX} nodes already")
        return copy

    def _changed(self, record: NodeRecord) -> None:
        self.changes += 1
        if record.admission != "waiting":
            self._observed[record.uid] = None

    def _remove(self, record: NodeRecord) -> None:
        self._no_longer_forgettable(record)
        del self.records[record.uid]
        self._edited -= record.is_edited
        self._observed.pop(record.uid, None)
        self._leftover.pop(record.uid, None)
        self.changes += 1
        if record.admission == "waiting":
            self._waiting_of[record.gateway] -= 1
        else:
            self._removed[record.uid] = None

    def _may_be_forgotten(self, record: NodeRecord) -> None:
        """Put an offline node that nobody edited in line to be forgotten; make room for it."""
        if record.is_online or record.is_edited or record.admission != "accepted":
            return
        line = self._forgettable_of.setdefault(record.gateway, OrderedDict())
        line[record.uid] = None
        self._forgettable[record.uid] = None
        if len(line) > self._offline_max * OFFLINE_OF_GATEWAY_SHARE:
            self._remove(self.records[next(iter(line))])
        if len(self._forgettable) > self._offline_max:
            self._remove(self.records[next(iter(self._forgettable))])

    def _no_longer_forgettable(self, record: NodeRecord) -> None:
        if self._forgettable.pop(record.uid, False) is None:
            line = self._forgettable_of[record.gateway]
            del line[record.uid]
            if not line:
                del self._forgettable_of[record.gateway]
