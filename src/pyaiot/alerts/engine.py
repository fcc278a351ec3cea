# SPDX-License-Identifier: BSD-3-Clause
"""Decides which alerts are raised and cleared, from readings, states and receipts. Pure.

`now` is a monotonic time in seconds, `ts` is Unix time in seconds.

A lost gateway raises one alert, not one per node. Its nodes are reported offline only if they have
not reconnected some time after the gateway has. The same holds after the broker starts, when no
node has connected yet.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from pyaiot.alerts.rule import FIRMWARE_STATE, OF_NUMBERS, UPDATE_FAILED, Rule
from pyaiot.alerts.watches import AlertChange, RuleMatch, Subject, Watches
from pyaiot.messages import Reading

RETURN_GRACE_S: Final = 180.0
"""Grace period in which nodes may reconnect, after the broker starts and after a lost gateway
reconnects.
"""
SAMPLES_MAX: Final = 64
"""Samples kept per resource for a rule on its rate of change."""
COMMAND_FAILED_FOR_S: Final = 300.0
"""An alert for a failed command clears when a command succeeds, or after this time."""

_Rules: TypeAlias = list[tuple[str, Rule]]


class AlertEngine:
    """Evaluates rules. Events and `now` go in, raised and cleared alerts come out."""

    def __init__(self, subject_of: Callable[[str], Subject | None]) -> None:
        """`subject_of` looks up a node of the registry by its uid."""
        self.rules: Mapping[str, Rule] = {}
        self.watches = Watches()
        self._subject_of = subject_of
        self._of_resource: dict[str, _Rules] = {}
        self._of_any_resource: _Rules = []
        self._of_condition: dict[str, _Rules] = {}
        self._lost_nodes: dict[str, set[str]] = {}
        """Nodes of lost gateways, by gateway name."""

    def set_rules(
        self, rules: Mapping[str, Rule], offline: Iterable[str], *, now: float, ts: float
    ) -> None:
        """Replace the rules. Alerts of changed and removed rules are cleared.

        `offline`: the nodes that are offline, to which a new rule applies as well.
        """
        changed = {it for it in (*rules, *self.rules) if rules.get(it) != self.rules.get(it)}
        before, self.rules = self.rules, dict(rules)
        for watch in self.watches.all():
            if watch.rule_id in changed:
                self.watches.remove(watch, ts)
        for alert in list(self.watches.active.values()):
            rule = rules.get(alert.rule)
            if rule is None or not rule.enabled:
                self.watches.clear(alert, before.get(alert.rule), ts)
        self._of_resource, self._of_any_resource, self._of_condition = {}, [], {}
        for rule_id, rule in rules.items():
            if rule.enabled:
                self._index(rule_id, rule)
        for uid in offline:
            self._await_return(uid, now, now, only=changed)

    def _index(self, rule_id: str, rule: Rule) -> None:
        pair = rule_id, rule
        self._of_condition.setdefault(rule.when, []).append(pair)
        if rule.when in OF_NUMBERS or (rule.when == "no data" and rule.resource):
            self._of_resource.setdefault(rule.resource, []).append(pair)
        elif rule.when == "no data":
            self._of_any_resource.append(pair)
        elif rule.when == "update failed":
            self._of_resource.setdefault(FIRMWARE_STATE, []).append(pair)

    def started(
        self, rules: Mapping[str, Rule], offline: Iterable[str], *, now: float, ts: float
    ) -> None:
        """Set the rules and the offline nodes at the start of the broker. Load stored alerts
        first.

        Stored alerts remain active, without being raised again, until their condition no longer
        holds.
        """
        self.set_rules(rules, (), now=now, ts=ts)
        for alert in list(self.watches.active.values()):
            rule = rules[alert.rule]
            if alert.uid:
                subject = self._subject_of(alert.uid)
            else:
                subject = Subject("", gateway=alert.gateway)
            if subject is None:
                self.watches.clear(alert, rule, ts)
            elif watch := self.watches.add(alert.rule, rule, subject, alert.resource):
                watch.since, watch.value = now, alert.value
                if rule.when == "command failed":
                    self.watches.set_timer(watch, now + COMMAND_FAILED_FOR_S)
        for uid in offline:
            self._await_return(uid, now + RETURN_GRACE_S, now)

    @property
    def needs_readings(self) -> bool:
        """Whether a rule watches readings."""
        return bool(self._of_resource or self._of_any_resource)

    def is_watched(self, resource: str) -> bool:
        """Whether a rule watches readings of this resource."""
        return resource in self._of_resource or bool(self._of_any_resource)

    # -- what happens -----------------------------------------------------------------------------

    def receive_reading(self, reading: Reading, *, now: float, ts: float) -> None:
        """Handle a live reading. Retained messages of an MQTT broker may be old and must not be
        passed.
        """
        rules = self._of_resource.get(reading.resource)
        if (rules is None and not self._of_any_resource) or reading.retained:
            return
        subject = self._subject_of(reading.uid)
        if subject is None:
            return
        for rule_id, rule in (*(rules or ()), *self._of_any_resource):
            if not subject.matches(rule):
                continue
            if rule.when == "no data":
                self._arrived(rule_id, rule, subject, now, ts)
            elif rule.when == "update failed":
                state = str(reading.data).strip()
                holds = state in UPDATE_FAILED
                self._judge(rule_id, rule, subject, reading, f"state {state}", holds, now, ts)
            elif reading.number is not None:
                self._number(rule_id, rule, subject, reading, reading.number, now, ts)

    def node_online(self, uid: str, *, now: float, ts: float) -> None:
        """Handle a node that came online."""
        for nodes in self._lost_nodes.values():
            nodes.discard(uid)
        for rule_id, _rule in self._rules_of("offline"):
            if watch := self.watches.find(rule_id, uid):
                self.watches.ends(watch, ts)
        subject = self._subject_of(uid)
        for rule_id, rule in self._rules_of("no data", subject):
            watch = self.watches.add(rule_id, rule, subject or Subject(uid), rule.resource)
            if watch is not None and not watch.is_raised:
                self.watches.set_timer(watch, now + rule.for_s)

    def node_offline(self, uid: str, reason: str, gateway: str, *, now: float) -> None:
        """Handle a node that went offline. `reason` is that of the `out` message; `gateway` is the
        name of its gateway.
        """
        if reason != "gateway lost":
            self._await_return(uid, now, now, reason)
            return
        self._lost_nodes.setdefault(gateway, set()).add(uid)
        # The state of these nodes is unknown while their gateway is lost.
        for watch in self.watches.of(uid):
            if watch.rule.when in ("offline", "no data") and not watch.is_raised:
                watch.since, watch.due = None, 0.0

    def node_edited(self, uid: str, *, is_offline: bool, now: float, ts: float) -> None:
        """Handle changed tags, a changed room, or a move to another gateway."""
        subject = self._subject_of(uid)
        if subject is None:
            return
        for watch in self.watches.of(uid):
            if not subject.matches(watch.rule):
                self.watches.remove(watch, ts)
            else:
                watch.subject = subject
        if is_offline:
            self._await_return(uid, now, now)

    def node_forgotten(self, uid: str, *, ts: float) -> None:
        """Clear the alerts of a node that was removed from the registry or banned."""
        for nodes in self._lost_nodes.values():
            nodes.discard(uid)
        for watch in self.watches.of(uid):
            self.watches.remove(watch, ts)

    def gateway_lost(self, name: str, *, now: float, ts: float) -> None:
        """Handle a lost connection to a gateway."""
        for rule_id, rule in self._rules_of("gateway lost"):
            if rule.gateways and name not in rule.gateways:
                continue
            watch = self.watches.add(rule_id, rule, Subject("", gateway=name))
            if watch is not None:
                self.watches.holds(watch, "its link to the broker is lost", now=now, ts=ts)

    def gateway_connected(self, name: str, *, now: float, ts: float) -> None:
        """Handle a gateway that connected. Its nodes have a grace period to reconnect."""
        for rule_id, _rule in self._rules_of("gateway lost"):
            if watch := self.watches.find(rule_id, name):
                self.watches.ends(watch, ts)
        for uid in self._lost_nodes.pop(name, ()):
            self._await_return(uid, now + RETURN_GRACE_S, now)

    def command_ended(
        self, uid: str, resource: str, state: str, detail: str, *, now: float, ts: float
    ) -> None:
        """Handle the receipt of a command that was sent to a node."""
        subject = self._subject_of(uid)
        for rule_id, rule in self._rules_of("command failed", subject):
            if rule.resource and rule.resource != resource:
                continue
            if state in ("confirmed", "sent"):
                if watch := self.watches.find(rule_id, uid, resource):
                    self.watches.ends(watch, ts)
            elif watch := self.watches.add(rule_id, rule, subject or Subject(uid), resource):
                value = f"{state}: {detail}" if detail else state
                self.watches.holds(watch, value, now=now, ts=ts)
                self.watches.set_timer(watch, now + COMMAND_FAILED_FOR_S)

    # -- timers and results -----------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """Time at which `handle_timer` must be called; None: never."""
        return self.watches.get_timer()

    def handle_timer(self, *, now: float, ts: float) -> None:
        """Raise alerts whose condition has held for the duration of the rule."""
        for watch in self.watches.take_due(now):
            if watch.rule.when == "command failed":
                self.watches.ends(watch, ts)
                continue
            if watch.rule.when == "no data":
                watch.since, watch.value = now, f"nothing for {_duration(watch.rule.for_s)}"
            if watch.since is not None and not watch.is_raised:
                self.watches.raise_alert(watch, ts)

    def next_change(self) -> AlertChange | None:
        """The next raised or cleared alert, in order of occurrence; None: no more."""
        return self.watches.next_change()

    # -- conditions -------------------------------------------------------------------------------

    def _rules_of(
        self, condition: str, subject: Subject | None = None
    ) -> Iterator[tuple[str, Rule]]:
        """The rules with this condition; with a subject, only those that apply to it."""
        for rule_id, rule in self._of_condition.get(condition, ()):
            if subject is None or subject.matches(rule):
                yield rule_id, rule

    def _number(
        self,
        rule_id: str,
        rule: Rule,
        subject: Subject,
        reading: Reading,
        number: float,
        now: float,
        ts: float,
    ) -> None:
        limit = rule.limit or 0.0
        if rule.when == "change":
            watch = self.watches.add(rule_id, rule, subject, reading.resource)
            if watch is None:
                return
            holds = abs(_change(watch.samples, number, now, rule.within_s)) >= limit
        else:
            sign = 1.0 if rule.when == "above" else -1.0
            holds = sign * number > sign * limit
            watch = self.watches.find(rule_id, subject.uid, reading.resource)
            if watch is not None and watch.is_raised:
                # The alert stays active until the value has returned by the hysteresis.
                holds = sign * number > sign * limit - rule.hysteresis
        self._judge(rule_id, rule, subject, reading, _text_of(reading), holds, now, ts)

    def _judge(
        self,
        rule_id: str,
        rule: Rule,
        subject: Subject,
        reading: Reading,
        value: str,
        holds: bool,
        now: float,
        ts: float,
    ) -> None:
        if holds:
            watch = self.watches.add(rule_id, rule, subject, reading.resource)
            if watch is not None:
                self.watches.holds(watch, value, now=now, ts=ts)
        elif watch := self.watches.find(rule_id, subject.uid, reading.resource):
            self.watches.ends(watch, ts)

    def _arrived(self, rule_id: str, rule: Rule, subject: Subject, now: float, ts: float) -> None:
        watch = self.watches.add(rule_id, rule, subject, rule.resource)
        if watch is not None:
            if watch.is_raised:
                self.watches.ends(watch, ts)
            self.watches.set_timer(watch, now + rule.for_s)

    def _await_return(
        self,
        uid: str,
        since: float,
        now: float,
        reason: str = "it did not come back",
        only: Iterable[str] | None = None,
    ) -> None:
        """Start the grace period of an offline node at `since`, which may be in the future.
        `only`: the rules to apply.
        """
        subject = self._subject_of(uid)
        if subject is None:
            return
        for condition in ("offline", "no data"):
            for rule_id, rule in self._rules_of(condition, subject):
                if only is not None and rule_id not in only:
                    continue
                watch = self.watches.add(rule_id, rule, subject, rule.resource)
                if watch is None or watch.is_raised or watch.due:
                    continue
                if condition == "offline":
                    watch.since, watch.value = since, reason
                self._set_due(watch, max(now, since))

    def _set_due(self, watch: RuleMatch, start: float) -> None:
        self.watches.set_timer(watch, start + watch.rule.for_s)


def _change(
    samples: deque[tuple[float, float]], number: float, now: float, within_s: float
) -> float:
    """Add a sample. Return the largest change between it and the samples of the last seconds."""
    while samples and now - samples[0][0] > within_s:
        samples.popleft()
    differences = [number - before for _, before in samples]
    # Samples closer together than this add little, and their number is limited.
    if not samples or now - samples[-1][0] >= within_s / SAMPLES_MAX:
        samples.append((now, number))
        if len(samples) > SAMPLES_MAX:
            samples.popleft()
    return max(differences, key=abs, default=0.0)


def _text_of(reading: Reading) -> str:
    """The value as the device sent it, or its number."""
    return reading.data if isinstance(reading.data, str) else f"{reading.number:g}"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
