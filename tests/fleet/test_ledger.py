# SPDX-License-Identifier: BSD-3-Clause
"""The ledger: what is sent, acknowledged, seen, superseded and lost, in every order of events."""

from hypothesis import given
from hypothesis import strategies as st

from pyaiot.fleet import ledger
from pyaiot.fleet.ledger import Account, Ledger, Series, summed


def series() -> Series:
    return Series(Account("CoAP"))


def test_reading_that_was_acknowledged_and_seen_is_neither_lost_nor_late() -> None:
    it = series()
    number = it.send(now=1.0)
    it.acknowledge(number)
    it.see(number, now=1.25)
    account = it.account
    assert (account.sent, account.acknowledged, account.seen) == (1, 1, 1)
    assert 0.25 <= account.lateness.percentile(99) <= 0.2551
    assert it.verdicts() == (0, 0)
    assert it.is_settled


def test_acknowledged_reading_that_nobody_saw_is_lost() -> None:
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


def test_reading_that_nobody_acknowledged_is_no_loss() -> None:
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
    assert it.account.acknowledged == 1


def test_acknowledgement_counts_once() -> None:
    it = series()
    it.send(now=1.0)
    it.acknowledge(1)
    it.acknowledge(1)
    it.acknowledge(2)
    assert it.account.acknowledged == 1


def test_what_is_seen_again_is_a_duplicate_unless_it_is_state_that_is_told() -> None:
    it = series()
    it.send(now=1.0)
    it.see(1, now=1.0)
    it.see(1, now=1.1, is_state=True)
    assert it.account.duplicates == 0
    it.see(1, now=1.2)
    assert it.account.duplicates == 1
    assert it.account.seen == 1


def test_state_that_is_told_counts_as_seen() -> None:
    it = series()
    it.send(now=1.0)
    it.see(1, now=1.1, is_state=True)
    assert it.account.seen == 1


def test_value_that_nobody_sent_is_a_stranger() -> None:
    book = Ledger()
    book.add_node("a", "CoAP").send(now=1.0)
    for data in ("2", "0", "01x", "", "-1", 1, None, "1 "):
        book.see("a", data, now=1.0)
    assert book.accounts["CoAP"].strangers == 8
    assert book.accounts["CoAP"].seen == 0


def test_nodes_of_others_are_passed_over() -> None:
    book = Ledger()
    book.add_node("a", "CoAP")
    book.see("b", "1", now=1.0)
    assert book.total().strangers == 0


def test_longest_time_without_anything_is_known() -> None:
    it = series()
    for now in (1.0, 2.0, 5.0, 5.5):
        it.see(it.send(now=now), now=now)
    assert it.account.longest_gap_s == 3.0


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
    assert {name: account.lost for name, account in book.accounts.items()} == {"CoAP": 1, "MQTT": 1}
    total = book.total()
    assert (total.nodes, total.sent, total.seen, total.lost) == (3, 3, 1, 2)


def test_ledger_is_full_when_too_much_was_not_seen(monkeypatch) -> None:  # type: ignore[no-untyped-def]
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
    ignored: set[int] = set()  # whose node waits no more, and that were seen
    strangers = 0
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
                    strangers += 1
        ignored |= abandoned & set(seen)
    account = it.account
    latest = max(seen, default=0)
    unseen = set(range(1, sent + 1)) - set(seen)
    superseded = {number for number in unseen if number < latest}
    assert account.sent == sent
    assert account.acknowledged == len(acknowledged)
    assert account.seen == len(set(seen)) == account.lateness.count
    assert account.duplicates == len(seen) - len(set(seen))
    assert account.strangers == strangers
    assert it.verdicts() == (len(superseded), len((unseen - superseded) & acknowledged))
    waits = set(range(1, sent + 1)) - acknowledged - abandoned
    assert it.is_settled == (not waits and max(acknowledged, default=0) <= latest)
    assert summed([account, account]).sent == 2 * sent
