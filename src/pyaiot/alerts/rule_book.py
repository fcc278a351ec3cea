# SPDX-License-Identifier: BSD-3-Clause
"""Stores rules, maintenance windows and alerts beside the registry."""

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from pyaiot.alerts.alert import Alert
from pyaiot.alerts.maintenance import MAINTENANCE_MAX, Maintenance, maintenance_of
from pyaiot.alerts.rule import RULES_MAX, Rule, rule_of
from pyaiot.alerts.rule_views import RuleViews
from pyaiot.alerts.watches import Subject
from pyaiot.errors import ProtocolError, Refused
from pyaiot.registry.service import RegistryService

if TYPE_CHECKING:
    from pyaiot.registry.documents import Document

RULE: Final = "alert-rule"
ALERT: Final = "alert"
MAINTENANCE: Final = "maintenance"
"""Kinds of stored documents."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class UnknownRule(Refused):
    """There is no such rule, alert, maintenance window or channel."""


class RuleBook:
    """The stored rules, maintenance windows and alerts. Rules and windows take effect when they
    are on disk; alerts are written later.
    """

    def __init__(self, registry: RegistryService, file_rules: Mapping[str, Rule]) -> None:
        """`file_rules`: rules of the alerts file, which cannot be edited here."""
        self.file_rules = dict(file_rules)
        self.views = RuleViews(
            lambda it: found.view if (found := registry.views.find(it)) else None
        )
        self.maintenance: dict[str, Maintenance] = {}
        self._registry = registry

    def rules(self) -> dict[str, Rule]:
        """All rules by id. A rule of the file replaces a stored one with the same id."""
        return self._read(RULE, rule_of) | self.file_rules

    def read(self) -> list[Alert]:
        """Read everything that is stored. Returns all alerts, active and cleared."""
        self.maintenance = self._read(MAINTENANCE, maintenance_of)
        return self.alerts()

    def alerts(self) -> list[Alert]:
        """The stored alerts, active and cleared ones."""
        return list(self._read(ALERT, lambda it: msgspec.convert(it, Alert)).values())

    async def put_rule(self, rule_id: str, table: dict[str, Any]) -> Rule:
        """Add or replace a rule. It is on disk when this returns. Raises `ProtocolError` for an
        invalid rule, `Refused`, `NotStored`.
        """
        rule = rule_of(table)
        self._check_editable(rule_id)
        self.views.check_rule(rule)
        rules = self.rules()
        if rule_id not in rules and len(rules) >= RULES_MAX:
            raise Refused(f"there are {RULES_MAX} rules already")
        await self._registry.put_documents([(RULE, rule_id, _encode(rule))])
        return rule

    async def remove_rule(self, rule_id: str) -> None:
        """Raises `UnknownRule`, `Refused`, `NotStored`."""
        self._check_editable(rule_id)
        if rule_id not in self._registry.documents.of(RULE):
            raise UnknownRule(f"there is no rule {rule_id[:64]!r}")
        await self._registry.put_documents([(RULE, rule_id, None)])

    async def add_maintenance(self, table: dict[str, Any], ts: float) -> str:
        """Add a maintenance window and return its id. Expired windows are removed. Raises the same
        errors as `put_rule`.
        """
        found = maintenance_of(table)
        over = [
            name for name, it in self.maintenance.items() if it.repeat == "once" and it.end <= ts
        ]
        if len(self.maintenance) - len(over) >= MAINTENANCE_MAX:
            raise Refused(f"there are {MAINTENANCE_MAX} maintenance windows already")
        new = secrets.token_hex(4)
        documents: list[Document] = [(MAINTENANCE, name, None) for name in over]
        await self._registry.put_documents([*documents, (MAINTENANCE, new, _encode(found))])
        for name in over:
            self.maintenance.pop(name, None)
        self.maintenance[new] = found
        return new

    async def remove_maintenance(self, name: str) -> None:
        """Raises `UnknownRule`, `NotStored`."""
        if name not in self.maintenance:
            raise UnknownRule(f"there is no maintenance {name[:64]!r}")
        await self._registry.put_documents([(MAINTENANCE, name, None)])
        self.maintenance.pop(name, None)

    def is_muted(self, subject: Subject, ts: float) -> bool:
        """Whether a maintenance window covers a node or gateway at the Unix time `ts`."""
        return any(it.covers(subject, ts) for it in self.maintenance.values())

    def store_alerts(self, alerts: Iterable[Alert], gone: Iterable[Alert]) -> None:
        """Queue alerts to be written with the next registry changes, and remove those that no
        longer exist.
        """
        documents: list[Document] = [(ALERT, _key(it), _encode(it)) for it in alerts]
        documents += [(ALERT, _key(it), None) for it in gone]
        try:
            self._registry.documents.set_later(documents)
        except Refused as error:
            log.warning("alerts are not stored: %s", error)

    def _check_editable(self, rule_id: str) -> None:
        if rule_id in self.file_rules:
            raise Refused(f"the rule {rule_id} is in the file of alerts: edit it there")

    def _read(self, kind: str, convert: Callable[[Any], T]) -> dict[str, T]:
        """The documents of one kind. Invalid ones are skipped and logged."""
        found = {}
        for key, body in self._registry.documents.of(kind).items():
            try:
                found[key] = convert(msgspec.json.decode(body))
            except (msgspec.MsgspecError, ProtocolError) as error:
                log.warning("a stored %s is left out: %s", kind, error)
        return found


def _key(alert: Alert) -> str:
    """Key of the document of an alert. An alert that is raised again gets a new document."""
    return f"{alert.id} {alert.raised}"


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
