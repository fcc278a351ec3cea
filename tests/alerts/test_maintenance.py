# SPDX-License-Identifier: BSD-3-Clause
"""When maintenance applies, and to which nodes."""

import pytest

from pyaiot.alerts.maintenance import maintenance_of
from pyaiot.alerts.watches import Subject
from pyaiot.errors import ProtocolError

DAY = 86_400.0
NODE = Subject("a", ("lab",), "East", "roof")


def test_it_applies_from_its_start_until_its_end() -> None:
    found = maintenance_of({"title": "Move", "start": 100, "end": 200})

    assert [found.covers(NODE, ts) for ts in (99, 100, 199, 200)] == [False, True, True, False]


@pytest.mark.parametrize(("repeat", "period"), [("daily", DAY), ("weekly", 7 * DAY)])
def test_it_repeats(repeat: str, period: float) -> None:
    found = maintenance_of({"title": "Night", "start": 100, "end": 200, "repeat": repeat})

    assert found.covers(NODE, 150 + 3 * period)
    assert not found.covers(NODE, 250 + 3 * period)
    assert not found.covers(NODE, 150 + 3.5 * period)
    assert not found.covers(NODE, 50)


def test_it_applies_to_the_nodes_that_it_names() -> None:
    found = maintenance_of({"title": "t", "start": 0, "end": 9, "tags": ["lab"], "rooms": ["East"]})

    assert found.covers(NODE, 1)
    assert not found.covers(Subject("b", ("lab",), "West"), 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"end": 50}, "must end after its start"),
        ({"repeat": "daily", "end": 100 + 2 * DAY}, "not be longer than its period"),
        ({"title": "\x1b"}, "printable"),
        ({"repeat": "yearly"}, "repeat cannot be"),
        ({"start": "soon"}, "start must be a number"),
    ],
)
def test_invalid_maintenance_is_refused_with_the_reason(
    change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ProtocolError, match=sentence):
        maintenance_of({"title": "t", "start": 100, "end": 200, **change})
