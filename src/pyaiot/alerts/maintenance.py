# SPDX-License-Identifier: BSD-3-Clause
"""Maintenance windows, during which no notices are sent for some nodes. Pure."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from pyaiot.alerts.rule import Names
from pyaiot.alerts.watches import Subject
from pyaiot.errors import ProtocolError, requirement
from pyaiot.messages import NAME_LENGTH_MAX, UnixTime, check_name

MAINTENANCE_MAX: Final = 100
"""Largest number of maintenance windows. Further ones are refused."""
_PERIODS: Final = {"once": 0.0, "daily": 86_400.0, "weekly": 7 * 86_400.0}


class Maintenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A period in which alerts are shown, but no notices or commands are sent."""

    title: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
    start: UnixTime
    """Unix time in seconds."""
    end: UnixTime
    """Unix time in seconds, exclusive."""
    repeat: Literal["once", "daily", "weekly"] = "once"
    """Repeat the window every 24 hours, or every seven days."""
    uids: Names = ()
    tags: Names = ()
    rooms: Names = ()
    gateways: Names = ()
    """The node must match each of these lists that is not empty. For a gateway, only names are
    compared.
    """

    def covers(self, subject: Subject, ts: float) -> bool:
        """Whether the window covers a node or gateway at the Unix time `ts`."""
        if ts < self.start:
            return False
        period = _PERIODS[self.repeat]
        passed = (ts - self.start) % period if period else ts - self.start
        return passed < self.end - self.start and (
            (not self.uids or subject.uid in self.uids)
            and (not self.rooms or subject.room in self.rooms)
            and (not self.gateways or subject.gateway in self.gateways)
            and (not self.tags or any(tag in self.tags for tag in subject.tags))
        )


def maintenance_of(table: dict[str, Any]) -> Maintenance:
    """Parse a maintenance window from the body of a request. Raises `ProtocolError`."""
    try:
        found = msgspec.convert(table, Maintenance)
    except msgspec.ValidationError as error:
        raise ProtocolError(requirement(str(error))) from error
    check_name(found.title, "title")
    if found.end <= found.start:
        raise ProtocolError("maintenance must end after its start")
    period = _PERIODS[found.repeat]
    if period and found.end - found.start > period:
        raise ProtocolError(f"{found.repeat} maintenance must not be longer than its period")
    return found
