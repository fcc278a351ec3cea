# SPDX-License-Identifier: BSD-3-Clause
"""Command lines of the older system run as they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.cli.historic import modernize


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("coap-gateway --broker_host=localhost", "coap-gateway --broker-host=localhost"),
        ("coap-gateway --coap_port 5683", "coap-gateway --coap-port 5683"),
        ("coap-gateway --broker-ssl=True", "coap-gateway --broker-ssl"),
        ("coap-gateway --broker-ssl=False", "coap-gateway"),
        ("coap-gateway --broker_ssl=false --max_time=60", "coap-gateway --max-time=60"),
        ("dashboard --debug=True --logo=", "dashboard --debug"),
        ("broker --debug=0", "broker"),
        ("broker --logging=debug", "broker --debug"),
        ("broker --logging debug --debug", "broker --debug --debug"),
        ("broker --logging=info", "broker"),
        ("broker --broker-port=8000", "broker --broker-port=8000"),
    ],
)
def test_an_older_command_line_becomes_one_of_today(old: str, new: str) -> None:
    assert modernize(old.split()) == (new.split(), [])


@pytest.mark.parametrize(
    ("old", "ignored"),
    [
        ("dashboard --map-api-key=abc", "--map-api-key"),
        ("dashboard --map_api_key abc --title=Lab", "--map-api-key"),
        ("broker --broker-host=localhost", "--broker-host"),
        ("broker --broker-host localhost", "--broker-host"),
        ("broker --log_file_prefix=/var/log/x", "--log-file-prefix"),
    ],
)
def test_a_flag_without_a_counterpart_is_ignored_with_a_sentence(old: str, ignored: str) -> None:
    new, notes = modernize(old.split())
    assert not any(ignored in word for word in new)
    (note,) = notes
    assert note.startswith(f"{ignored} is ignored")
    assert "abc" not in note


def test_the_broker_host_of_a_gateway_is_kept() -> None:
    line = ["mqtt-gateway", "--broker-host", "hub"]
    assert modernize(line) == (line, [])


@pytest.mark.parametrize("line", ["node coap --uid=a_b", "set n led a_b", "get -- --broker_ssl=x"])
def test_values_and_words_are_left_alone(line: str) -> None:
    assert modernize(line.split()) == (line.split(), [])


def test_a_wrong_value_of_a_switch_is_passed_on_to_be_refused() -> None:
    assert modernize(["broker", "--debug=perhaps"]) == (["broker", "--debug=perhaps"], [])


@given(st.lists(st.text(max_size=12)))
def test_any_words_are_read(words: list[str]) -> None:
    new, notes = modernize(words)
    assert len(new) <= len(words)
    assert len(notes) <= len(words)
