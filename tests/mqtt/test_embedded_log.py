# SPDX-License-Identifier: BSD-3-Clause
"""The log of nats-server, in the words of people who connect devices."""

import pytest

from pyaiot.mqtt.embedded.log import explain, is_about_memory, reason_of_crash

CLIENT = '10.0.0.7:41000 - mid:38 - "board-1" - '


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            '10.0.0.7:41000 - mid:5 - "" - unacceptable protocol version of 5',
            ("a device at 10.0.0.7 ", "(5: MQTT 5)", "set it to MQTT 3.1.1"),
        ),
        (
            '[fd00::7]:41000 - mid:5 - "" - older protocol "MQIsdp" not supported',
            ("a device at [fd00::7] ", "MQTT 3.1;", "MQTT 3.1.1"),
        ),
        (
            CLIENT + 'authentication error - User "pyaiot/gateway"',
            ("device board-1", "of Pyaiot itself"),
        ),
        (
            CLIENT + 'unable to connect: unable to persist session "board-1" (seq=0): maximum'
            " messages exceeded (10077)",
            ("device board-1", "store for sessions is full"),
        ),
        (
            CLIENT + 'unable to store retained message for account "$G", subject "node.b.x":'
            " maximum bytes exceeded (10077)",
            ("device board-1", "node/b/x", "not retained", "full"),
        ),
        (
            CLIENT + "JetStream failed a pipelined QoS1/2 operation (pi=269): maximum bytes"
            " exceeded (10077); closing the connection",
            ("device board-1", "QoS 1 and 2 is full"),
        ),
        (CLIENT + 'Publish Violation - Subject "other.x"', ("other/x", "node/...")),
        (
            CLIENT + 'Subscription Violation - Subject "node.>", SID node.>',
            ("node/#", "gateway/..."),
        ),
        (CLIENT + "character not supported for MQTT topics", ("a space",)),
        (
            '::1:4 - mid:9 - "esp32 kitchen" - invalid character in client ID "esp32 kitchen"',
            ("device esp32 kitchen at ::1 ", "was refused", "a space", "set another"),
        ),
        (
            '::1:4 - mid:9 - "" - when client ID is empty, clean session flag must be set to 1',
            ("a device at ::1 ", "clean session"),
        ),
        (CLIENT + "maximum payload exceeded: 300025 vs 262144", ("300025 bytes", "262144")),
    ],
)
def test_a_refusal_is_explained_with_device_and_remedy(line: str, words: tuple[str, ...]) -> None:
    explained = explain(line)
    assert explained is not None
    assert all(word in explained.text for word in words), explained
    assert "JetStream" not in explained.text
    # Messages and subscriptions that are not accepted do not end the connection.
    words_of_refusals = ("was refused:", "was disconnected:")
    assert explained.refuses == any(word in explained.text for word in words_of_refusals)


def test_a_refusal_is_logged_once() -> None:
    assert explain(CLIENT + "unable to connect: authentication error") is None
    assert explain(CLIENT + 'authentication error - User "bob"') is None


@pytest.mark.parametrize("line", ["something", CLIENT + "something", '{0} - mid:5 - "{1}" - {x}'])
def test_unknown_lines_are_unchanged(line: str) -> None:
    assert explain(line) == (f"nats-server: {line}", False)


def test_names_of_devices_are_no_formats() -> None:
    explained = explain('10.0.0.7:41000 - mid:5 - "{0}{x}" - Publish Violation - Subject "{y}"')
    assert explained is not None
    assert "device {0}{x} at" in explained.text
    assert "published {y}," in explained.text


def test_the_first_line_of_a_stack_is_the_reason() -> None:
    assert reason_of_crash("fatal error: failed to reserve page summary memory")
    assert reason_of_crash("panic: runtime error: index out of range")
    assert not reason_of_crash("\truntime/panic.go:1243 +0x48 fp=0x7ffe pc=0x48ba08")
    assert not reason_of_crash("goroutine 1 [running]:")
    assert is_about_memory("fatal error: failed to reserve page summary memory")
    assert is_about_memory("runtime: out of memory: cannot allocate")
    assert not is_about_memory("panic: index out of range")
