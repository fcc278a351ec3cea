# SPDX-License-Identifier: BSD-3-Clause
"""The ledger: what is sent, acknowledged, seen, superseded and lost, in every order of events."""

from hypothesis import given
from hypothesis import strategies as st

from pyaiot.fleet import ledger
from pyaiot.fleet.ledger import Ledger, ReadingSeries, Tally, summed


def series() -> ReadingSeries:
    return ReadingSeries(Tally("CoAP"))


def test_reading_that_was_acknowledged_and_seen_is_neither_lost_nor_late() -> None:
    it = series()
    number = it.send(now=1.0)
    it.acknowledge(number)
    it.see(number, now=1.25)
    tally = it.tally
    assert (tally.sent, tally.acknowledged, tally.seen) == (1, 1, 1)
    assert 0.25 <= tally.lateness.percentile(99) <= 0.2551
    assert it.verdicts() == (0, 0)
    assert it.is_settled


def test_acknowledged_reading_that_was_not_seen_is_lost() -> None:
    it = series()
    it.acknowledge(it.send(now=1.0))
    assert it.verdicts() == (0, 1)
    assert not it.is_settled


def test_reading_before_one_that_was_seen_is_superseded_and_not_lost() -> None:
    it = series()
    for _ in range(3):
        it.acknowledge(it.send(now=1.0))
    it.see(2, now=1.0)
    assert it.verdicts() == (1, 1)


def test_unacknowledged_reading_is_not_lost() -> None:
    it = series()
    it.send(now=1.0)
    assert it.verdicts() == (0, 0)
    assert not it.is_settled
    it.abandon(1)
    assert it.verdicts() == (0, 0)
    assert it.is_settled


def test_reading_may_be_seen_before_its_acknowledgement() -> None:
    it = series()
    it.send(now=1.0)
    it.see(1, now=1.0)
    assert not it.is_settled
    it.acknowledge(1)
    assert it.is_settled
    assert it.tally.acknowledged == 1


def test_acknowledgement_counts_once() -> None:
    it = series()
    it.send(now=1.0)
    it.acknowledge(1)
    it.acknowledge(1)
    it.acknowledge(2)
    assert it.tally.acknowledged == 1


def test_reading_seen_again_is_a_duplicate_except_in_the_state_of_a_join() -> None:
    it = series()
    it.send(now=1.0)
    it.see(1, now=1.0)
    it.see(1, now=1.1, is_state=True)
    assert it.tally.duplicates == 0
    it.see(1, now=1.2)
    assert it.tally.duplicates == 1
    assert it.tally.seen == 1


def test_state_of_a_join_counts_as_seen() -> None:
    it = series()
    it.send(now=1.0)
    it.see(1, now=1.1, is_state=True)
    assert it.tally.seen == 1


def test_value_that_no_node_sent_is_unexpected() -> None:
    book = Ledger()
    book.add_node("a", "CoAP").send(now=1.0)
    for data in ("2", "0", "01x", "", "-1", 1, None, "1 "):
        book.see("a", data, now=1.0)
    assert book.tallies["CoAP"].unexpected == 8
    assert book.tallies["CoAP"].seen == 0


def test_nodes_outside_the_fleet_are_ignored() -> None:
    book = Ledger()
    book.add_node("a", "CoAP")
    book.see("b", "1", now=1.0)
    assert book.total().unexpected == 0


def test_longest_gap_is_recorded() -> None:
    it = series()
    for now in (1.0, 2.0, 5.0, 5.5):
        it.see(it.send(now=now), now=now)
    assert it.tally.longest_gap_s == 3.0


def test_protocols_have_accounts_and_a_sum() -> None:
    book = Ledger()
    for uid, protocol in (("a", "CoAP"), ("b", "CoAP"), ("c", "MQTT")):
        one = book.add_node(uid, protocol)
        one.acknowledge(one.send(now=0.0))
    book.see("a", "1", now=1.0)
    assert book.unsettled == 2
    assert book.unseen == 2
    book.close()
    book.close()  # twice changes nothing
    assert {name: tally.lost for name, tally in book.tallies.items()} == {"CoAP": 1, "MQTT": 1}
    total = book.total()
    assert (total.nodes, total.sent, total.seen, total.lost) == (3, 3, 1, 2)


def test_ledger_is_full_at_the_limit_of_unseen_readings(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(ledger, "OPEN_MAX", 3)
    book = Ledger()
    one = book.add_node("a", "CoAP")
    for _ in range(3):
        assert not book.is_full
        one.send(now=0.0)
    assert book.is_full
    book.see("a", "1", now=0.0)
    assert not book.is_full


@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "acknowledge", "abandon", "see"]), st.integers(1, 8)),
        max_size=60,
    )
)
def test_sums_are_right_after_any_events(events: list[tuple[str, int]]) -> None:
    """Against the definitions, written down as sets."""
    it = series()
    sent = 0
    acknowledged: set[int] = set()
    seen: list[int] = []
    ignored: set[int] = set()  # given up by their node, and seen
    unexpected = 0
    abandoned: set[int] = set()
    for event, number in events:
        match event:
            case "send":
                sent += 1
                it.send(now=float(sent))
            case "acknowledge":
                it.acknowledge(number)
                if number <= sent and number not in ignored:
                    acknowledged.add(number)
                    abandoned.discard(number)
            case "abandon":
                it.abandon(number)
                if number <= sent and number not in acknowledged:
                    abandoned.add(number)
            case "see":
                it.see(number, now=float(sent))
                if number <= sent:
                    seen.append(number)
                else:
                    unexpected += 1
        ignored |= abandoned & set(seen)
    tally = it.tally
    latest = max(seen, default=0)
    unseen = set(range(1, sent + 1)) - set(seen)
    superseded = {number for number in unseen if number < latest}
    assert tally.sent == sent
    assert tally.acknowledged == len(acknowledged)
    assert tally.seen == len(set(seen)) == tally.lateness.count
    assert tally.duplicates == len(seen) - len(set(seen))
    assert tally.unexpected == unexpected
    assert it.verdicts() == (len(superseded), len((unseen - superseded) & acknowledged))
    waits = set(range(1, sent + 1)) - acknowledged - abandoned
    assert it.is_settled == (not waits and max(acknowledged, default=0) <= latest)
    assert summed([tally, tally]).sent == 2 * sent
