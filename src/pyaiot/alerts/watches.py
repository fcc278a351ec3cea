# SPDX-License-Identifier: BSD-3-Clause
"""What rules watch, the alerts that follow, and when to look again. Pure."""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from pyaiot.alerts.alert import VALUE_LENGTH_MAX, Alert, alert_id, watch_key
from pyaiot.alerts.rule import Rule

ACTIVE_MAX: Final = 10_000
"""Active alerts. Further ones are counted and not raised."""
CLEARED_MAX: Final = 1000
"""Cleared alerts that are kept, the latest ones."""
WATCHES_MAX: Final = 200_000
"""Pairs of a rule and a node or resource that are watched. Further ones are counted, not watched.
"""

Phase: TypeAlias = Literal["raised", "cleared"]


@dataclass(frozen=True, slots=True)
class Subject:
    """The node of an alert, as rules select it; without a uid, a gateway."""

    uid: str
    tags: tuple[str, ...] = ()
    room: str = ""
    gateway: str = ""
    views: frozenset[str] = frozenset()
    """The ids of the views of rules that have the node."""

    @property
    def name(self) -> str:
        return self.uid or self.gateway

    def matches(self, rule: Rule) -> bool:
        """Whether the rule names this node."""
        return rule.watches(
            uid=self.uid,
            tags=self.tags,
            room=self.room,
            gateway=self.gateway,
            views=self.views,
        )


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert was raised or cleared."""

    phase: Phase
    alert: Alert
    rule: Rule


@dataclass(slots=True)
class RuleMatch:
    """A rule and one node or gateway, or one resource of a node."""

    rule_id: str
    rule: Rule
    subject: Subject
    resource: str = ""
    since: float | None = None
    """Since when the condition holds; None: it does not."""
    is_raised: bool = False
    due: float = 0.0
    """When the timer looks at it next; 0: never."""
    value: str = ""
    samples: deque[tuple[float, float]] = field(default_factory=deque)
    """Times and numbers, for `change`."""

    @property
    def key(self) -> str:
        return watch_key(self.rule_id, self.subject.name, self.resource)


class Watches:
    """The table of watches with its timers, and the alerts."""

    def __init__(self) -> None:
        self.active: dict[str, Alert] = {}
        self.dropped = 0
        """Alerts and watches beyond their limits, since the start."""
        self.gone: list[Alert] = []
        """Cleared alerts beyond their limit. The caller removes them."""
        self._cleared: OrderedDict[str, Alert] = OrderedDict()
        self._watches: dict[str, RuleMatch] = {}
        self._of_subject: dict[str, set[str]] = {}
        self._timers: list[tuple[float, str]] = []
        self._changes: deque[AlertChange] = deque()

    def __len__(self) -> int:
        return len(self._watches)

    @property
    def cleared(self) -> Iterable[Alert]:
        """The latest cleared alerts, in that order."""
        return self._cleared.values()

    def load(self, alerts: Iterable[Alert]) -> None:
        """Take over the alerts that were stored."""
        for alert in alerts:
            if alert.cleared:
                self._keep_cleared(alert)
            elif len(self.active) < ACTIVE_MAX:
                self.active[alert.key] = alert

    def find(self, rule_id: str, name: str, resource: str = "") -> RuleMatch | None:
        """The watch of a rule for a node or gateway of this name, if there is one."""
        return self._watches.get(watch_key(rule_id, name, resource))

    def add(
        self, rule_id: str, rule: Rule, subject: Subject, resource: str = ""
    ) -> RuleMatch | None:
        """The watch, a new one if there is none; None at the limit."""
        key = watch_key(rule_id, subject.name, resource)
        watch = self._watches.get(key)
        if watch is not None:
            return watch
        if len(self._watches) >= WATCHES_MAX:
            self.dropped += 1
            return None
        watch = self._watches[key] = RuleMatch(rule_id, rule, subject, resource)
        # An alert that was stored lasts, and is not raised again.
        watch.is_raised = key in self.active
        self._of_subject.setdefault(subject.name, set()).add(key)
        return watch

    def of(self, name: str) -> list[RuleMatch]:
        """The watches of a node or gateway."""
        return [self._watches[key] for key in self._of_subject.get(name, ())]

    def all(self) -> Iterator[RuleMatch]:
        yield from list(self._watches.values())

    def remove(self, watch: RuleMatch, ts: float) -> None:
        """RuleMatch it no longer. Its alert is cleared."""
        self.ends(watch, ts)
        key = watch.key
        del self._watches[key]
        keys = self._of_subject[watch.subject.name]
        keys.discard(key)
        if not keys:
            del self._of_subject[watch.subject.name]

    def holds(self, watch: RuleMatch, value: str, *, now: float, ts: float) -> None:
        """The condition holds, with this value. It is raised now, or when it has held for long."""
        watch.value = value[:VALUE_LENGTH_MAX]
        if watch.is_raised:
            return
        if watch.since is None:
            watch.since = now
        if now - watch.since >= watch.rule.for_s:
            self.raise_alert(watch, ts)
        elif not watch.due:
            self.set_timer(watch, watch.since + watch.rule.for_s)

    def ends(self, watch: RuleMatch, ts: float) -> None:
        """The condition does not hold."""
        watch.since, watch.due = None, 0.0
        watch.is_raised = False
        alert = self.active.get(watch.key)
        if alert is not None:
            self.clear(alert, watch.rule, ts)

    def raise_alert(self, watch: RuleMatch, ts: float) -> None:
        """Raise the alert of the watch, unless it is active."""
        if watch.key not in self.active:
            if len(self.active) >= ACTIVE_MAX:
                self.dropped += 1
                return
            alert = Alert(
                id=alert_id(watch.key),
                rule=watch.rule_id,
                title=watch.rule.title,
                severity=watch.rule.severity,
                uid=watch.subject.uid,
                resource=watch.resource,
                gateway=watch.subject.gateway,
                value=watch.value,
                raised=ts,
            )
            self.active[watch.key] = alert
            self._changes.append(AlertChange("raised", alert, watch.rule))
        watch.is_raised = True

    def clear(self, alert: Alert, rule: Rule | None, ts: float) -> None:
        """End an active alert. Without its rule, nobody is notified."""
        self.active.pop(alert.key, None)
        alert.cleared = max(ts, alert.raised)
        self._keep_cleared(alert)
        if rule is not None:
            self._changes.append(AlertChange("cleared", alert, rule))

    def next_change(self) -> AlertChange | None:
        """The next change of an alert, in the order in which they happened."""
        return self._changes.popleft() if self._changes else None

    def set_timer(self, watch: RuleMatch, due: float) -> None:
        """Look at it then. A later time than before needs no new entry: the earlier looks again."""
        is_set, watch.due = 0 < watch.due <= due, due
        if not is_set:
            heapq.heappush(self._timers, (due, watch.key))

    def get_timer(self) -> float | None:
        """When to call `take_due`; None: never."""
        return self._timers[0][0] if self._timers else None

    def take_due(self, now: float) -> Iterator[RuleMatch]:
        """The watches whose time has come."""
        while self._timers and self._timers[0][0] <= now:
            _due, key = heapq.heappop(self._timers)
            watch = self._watches.get(key)
            if watch is None or not watch.due:
                continue
            if watch.due > now:
                heapq.heappush(self._timers, (watch.due, key))
                continue
            watch.due = 0.0
            yield watch

    def _keep_cleared(self, alert: Alert) -> None:
        self._cleared[f"{alert.id}\0{alert.raised}"] = alert
        if len(self._cleared) > CLEARED_MAX:
            self.gone.append(self._cleared.popitem(last=False)[1])
