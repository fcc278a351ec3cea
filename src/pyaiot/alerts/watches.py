# SPDX-License-Identifier: BSD-3-Clause
"""Tracks the state of each rule for each node, the resulting alerts, and their timers. Pure."""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.alerts.alert import VALUE_LENGTH_MAX, Alert, alert_id, watch_key
from pyaiot.alerts.rule import Rule

ACTIVE_MAX: Final = 10_000
"""Largest number of active alerts. Further ones are counted and not raised."""
CLEARED_MAX: Final = 1000
"""Number of cleared alerts that are kept, the latest ones."""
WATCHES_MAX: Final = 200_000
"""Largest number of pairs of a rule and a node or resource. Further ones are counted and not
watched.
"""

Phase: TypeAlias = Literal["raised", "cleared"]


class Subject(msgspec.Struct, frozen=True):
    """The node to which a rule is applied; without a uid, a gateway."""

    uid: str
    tags: tuple[str, ...] = ()
    room: str = ""
    gateway: str = ""
    views: frozenset[str] = frozenset()
    """Ids of the views (of rules) that match the node."""

    @property
    def name(self) -> str:
        return self.uid or self.gateway

    def matches(self, rule: Rule) -> bool:
        """Whether the rule applies to this subject."""
        return rule.watches(
            uid=self.uid,
            tags=self.tags,
            room=self.room,
            gateway=self.gateway,
            views=self.views,
        )


class AlertChange(msgspec.Struct, frozen=True):
    """An alert was raised or cleared."""

    phase: Phase
    alert: Alert
    rule: Rule


class RuleMatch(msgspec.Struct):
    """The state of a rule for one node, gateway or resource."""

    rule_id: str
    rule: Rule
    subject: Subject
    resource: str = ""
    since: float | None = None
    """Since when the condition has held; None: it does not hold."""
    is_raised: bool = False
    due: float = 0.0
    """When the timer checks it next; 0: never."""
    value: str = ""
    samples: deque[tuple[float, float]] = msgspec.field(default_factory=deque)
    """Samples as pairs of time and number, for `change`."""

    @property
    def key(self) -> str:
        return watch_key(self.rule_id, self.subject.name, self.resource)


class Watches:
    """All watches with their timers, and the alerts."""

    def __init__(self) -> None:
        self.active: dict[str, Alert] = {}
        self.dropped = 0
        """Number of alerts and watches that exceeded their limits, since the start."""
        self.gone: list[Alert] = []
        """Cleared alerts that exceeded their limit. The caller deletes them."""
        self._cleared: OrderedDict[str, Alert] = OrderedDict()
        self._watches: dict[str, RuleMatch] = {}
        self._of_subject: dict[str, set[str]] = {}
        self._timers: list[tuple[float, str]] = []
        self._changes: deque[AlertChange] = deque()

    def __len__(self) -> int:
        return len(self._watches)

    @property
    def cleared(self) -> Iterable[Alert]:
        """The latest cleared alerts, in the order in which they were cleared."""
        return self._cleared.values()

    def load(self, alerts: Iterable[Alert]) -> None:
        """Load stored alerts."""
        for alert in alerts:
            if alert.cleared:
                self._keep_cleared(alert)
            elif len(self.active) < ACTIVE_MAX:
                self.active[alert.key] = alert

    def find(self, rule_id: str, name: str, resource: str = "") -> RuleMatch | None:
        """The watch of a rule for a node or gateway, or None."""
        return self._watches.get(watch_key(rule_id, name, resource))

    def add(
        self, rule_id: str, rule: Rule, subject: Subject, resource: str = ""
    ) -> RuleMatch | None:
        """Return the watch, created if necessary; None if the limit is reached."""
        key = watch_key(rule_id, subject.name, resource)
        watch = self._watches.get(key)
        if watch is not None:
            return watch
        if len(self._watches) >= WATCHES_MAX:
            self.dropped += 1
            return None
        watch = self._watches[key] = RuleMatch(rule_id, rule, subject, resource)
        # A stored alert stays active and is not raised again.
        watch.is_raised = key in self.active
        self._of_subject.setdefault(subject.name, set()).add(key)
        return watch

    def of(self, name: str) -> list[RuleMatch]:
        """The watches of a node or gateway."""
        return [self._watches[key] for key in self._of_subject.get(name, ())]

    def all(self) -> Iterator[RuleMatch]:
        yield from list(self._watches.values())

    def remove(self, watch: RuleMatch, ts: float) -> None:
        """Remove the watch and clear its alert."""
        self.ends(watch, ts)
        key = watch.key
        del self._watches[key]
        keys = self._of_subject[watch.subject.name]
        keys.discard(key)
        if not keys:
            del self._of_subject[watch.subject.name]

    def holds(self, watch: RuleMatch, value: str, *, now: float, ts: float) -> None:
        """Report that the condition holds, with this value. The alert is raised now, or after the
        rule's duration.
        """
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
        """Report that the condition does not hold."""
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
        """Clear an active alert. If its rule no longer exists, nobody is notified."""
        self.active.pop(alert.key, None)
        alert.cleared = max(ts, alert.raised)
        self._keep_cleared(alert)
        if rule is not None:
            self._changes.append(AlertChange("cleared", alert, rule))

    def next_change(self) -> AlertChange | None:
        """The next raised or cleared alert, in order of occurrence; None: no more."""
        return self._changes.popleft() if self._changes else None

    def set_timer(self, watch: RuleMatch, due: float) -> None:
        """Schedule the next check. For a later time than scheduled no entry is needed: the earlier
        check schedules it.
        """
        is_set, watch.due = 0 < watch.due <= due, due
        if not is_set:
            heapq.heappush(self._timers, (due, watch.key))

    def get_timer(self) -> float | None:
        """Time at which `take_due` must be called; None: never."""
        return self._timers[0][0] if self._timers else None

    def take_due(self, now: float) -> Iterator[RuleMatch]:
        """The watches that are due."""
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
