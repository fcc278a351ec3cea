# SPDX-License-Identifier: BSD-3-Clause
"""Messages that are delivered again although they were acknowledged are recognised."""

from pyaiot.mqtt.recent_messages import EARLY_S, LATE_S, RECENT_MAX, RecentMessages

AGAIN_S = 7.0
ONE = ("node/a/n/share/3", b"1")
OTHER = ("node/b/n/share/3", b"1")


def recent(*messages: tuple[str, bytes], now: float = 100.0) -> RecentMessages:
    found = RecentMessages(AGAIN_S)
    found.add(messages, now)
    return found


def test_what_was_processed_is_recognised_once() -> None:
    found = recent(ONE, OTHER)
    assert found.take(*ONE, 100.0 + AGAIN_S)
    assert not found.take(*ONE, 100.0 + AGAIN_S)
    assert found.take(*OTHER, 100.0 + AGAIN_S)


def test_two_with_the_same_content_are_recognised_twice() -> None:
    found = recent(ONE)
    found.add([ONE], 100.1)
    assert found.take(*ONE, 100.0 + AGAIN_S)
    assert found.take(*ONE, 100.1 + AGAIN_S)
    assert not found.take(*ONE, 100.1 + AGAIN_S)


def test_another_content_is_not_recognised() -> None:
    assert not recent(ONE).take(ONE[0], b"2", 100.0 + AGAIN_S)
    assert not recent(ONE).take(*OTHER, 100.0 + AGAIN_S)


def test_it_has_to_come_when_it_was_not_acknowledged_in_time() -> None:
    assert not recent(ONE).take(*ONE, 100.0 + AGAIN_S - EARLY_S - 0.01)
    assert recent(ONE).take(*ONE, 100.0 + AGAIN_S - EARLY_S)
    assert recent(ONE).take(*ONE, 100.0 + AGAIN_S + LATE_S)
    assert not recent(ONE).take(*ONE, 100.0 + AGAIN_S + LATE_S + 0.01)


def test_only_the_last_messages_are_remembered() -> None:
    found = recent(ONE)
    many = [("node/b/n/share/3", str(number).encode()) for number in range(RECENT_MAX)]
    found.add(many, 100.0)
    assert len(found) == RECENT_MAX
    assert not found.take(*ONE, 100.0 + AGAIN_S)
    found.add([ONE], 100.0 + AGAIN_S + LATE_S + 0.01)
    assert len(found) == 1
    found.add([*many, OTHER], 120.0)
    assert len(found) == 0
