# SPDX-License-Identifier: BSD-3-Clause
"""Rules of alerts: what is valid, and the reason where it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.alerts.rule import Rule, read_duration_s, rule_of
from pyaiot.errors import ProtocolError

WARM = {"title": "Too warm", "when": "above", "resource": "temperature", "limit": 30}


def test_durations_may_be_texts_with_a_unit() -> None:
    rule = rule_of({**WARM, "for": "5m"})

    assert rule.for_s == 300.0
    assert [read_duration_s(text) for text in ("90s", "2h", "1d", "1.5m", "7", 8)] == [
        90.0,
        7200.0,
        86_400.0,
        90.0,
        7.0,
        8.0,
    ]


@pytest.mark.parametrize("text", ["", "5 weeks", "-1m", "1h30m", True, None, "m"])
def test_another_text_is_no_duration(text: object) -> None:
    with pytest.raises(ProtocolError, match="is not a duration: use for example"):
        read_duration_s(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"resource": ""}, "needs a resource"),
        ({"limit": None}, "needs a limit"),
        ({"title": ""}, "at least 1 character long"),
        ({"title": "a\nb"}, "printable"),
        ({"when": "hot"}, "when cannot be "),
        ({"limit": float("nan")}, "finite"),
        ({"limit": 1, "hysteresis": -1}, "must be at least 0"),
        ({"colour": "red"}, "unknown field"),
        ({"when": "offline"}, "no limit and no hysteresis"),
        ({"when": "offline", "limit": None}, "has no resource"),
        ({"when": "no data", "limit": None}, "needs a duration"),
        ({"when": "command failed", "limit": None, "for": 5}, "has no duration"),
        ({"when": "change", "limit": 0}, "more than 0"),
        ({"when": "change", "within": 0}, "within"),
        ({"when": "gateway lost", "limit": None, "resource": "", "tags": ["a"]}, "not nodes"),
        ({"on_raise": {"resource": "temperature", "payload": "1"}}, "must not write the resource"),
        (
            {
                "when": "gateway lost",
                "limit": None,
                "resource": "",
                "on_raise": {"resource": "led", "payload": "1"},
            },
            "needs a node",
        ),
        ({"for": "367d"}, "must be at most "),
        ({"uids": ["x"] * 257}, "at most 256 entries long"),
    ],
)
def test_an_invalid_rule_is_refused_with_the_reason(
    change: dict[str, object], sentence: str
) -> None:
    fields = {name: value for name, value in {**WARM, **change}.items() if value is not None}

    with pytest.raises(ProtocolError, match=sentence):
        rule_of(fields)


def test_a_rule_without_lists_watches_every_node() -> None:
    assert rule_of(WARM).watches(uid="a", tags=(), room="", gateway="")


def test_each_list_of_a_rule_must_have_the_node() -> None:
    rule = rule_of({**WARM, "tags": ["roof", "lab"], "rooms": ["East"]})

    assert rule.watches(uid="a", tags=("lab",), room="East", gateway="")
    assert not rule.watches(uid="a", tags=("lab",), room="West", gateway="")
    assert not rule.watches(uid="a", tags=(), room="East", gateway="")


@given(
    st.dictionaries(
        st.sampled_from([*Rule.__struct_encode_fields__, "x"]),
        st.none()
        | st.text()
        | st.floats()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_any_table_is_a_rule_or_refused(table: dict[str, object]) -> None:
    try:
        rule = rule_of(table)
    except ProtocolError:
        return
    assert rule.title.isprintable()
