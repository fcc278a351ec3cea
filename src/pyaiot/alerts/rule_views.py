# SPDX-License-Identifier: BSD-3-Clause
"""Matches nodes against the saved views that rules refer to. Pure."""

from collections.abc import Callable, Mapping

from pyaiot.alerts.rule import Rule
from pyaiot.errors import ProtocolError, Refused
from pyaiot.registry.record import NodeRecord
from pyaiot.registry.view_filter import NodeTest, node_test
from pyaiot.registry.views import DashboardView


class RuleViews:
    """The filters of the views that rules refer to."""

    def __init__(self, find: Callable[[str], DashboardView | None]) -> None:
        """`find`: returns the view with an id, or None."""
        self._find = find
        self._users: dict[str, str] = {}
        self._tests: dict[str, NodeTest] = {}

    def set_rules(self, rules: Mapping[str, Rule]) -> None:
        """Read the views of these rules. Call it again when views change."""
        self._users = {rule.view: rule_id for rule_id, rule in rules.items() if rule.view}
        self._tests = {}
        for view_id in self._users:
            view = self._find(view_id)
            if view is not None:
                try:
                    self._tests[view_id] = node_test(view.query)
                except ProtocolError:
                    continue  # the rule is of a file: its view has no nodes for it

    def views_of(self, record: NodeRecord) -> frozenset[str]:
        """The ids of the views that match the node."""
        if not self._tests:
            return frozenset()
        return frozenset(view_id for view_id, test in self._tests.items() if test(record))

    def check_rule(self, rule: Rule) -> None:
        """Raises `ProtocolError` if the rule cannot use its view."""
        if not rule.view:
            return
        view = self._find(rule.view)
        if view is None:
            raise ProtocolError(f"there is no view {rule.view[:64]!r}")
        node_test(view.query)

    def check_view(self, view_id: str, view: DashboardView | None) -> None:
        """Raises `Refused` if a rule uses the view, and it was removed or can no longer be used by
        rules.
        """
        user = self._users.get(view_id)
        if user is None:
            return
        if view is None:
            raise Refused(f"the alert rule {user} uses this view: change the rule first")
        try:
            node_test(view.query)
        except ProtocolError as error:
            raise Refused(f"the alert rule {user} uses this view: {error}") from error
