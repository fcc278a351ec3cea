# SPDX-License-Identifier: BSD-3-Clause
"""Hosts take turns, and none of them takes all."""

from hypothesis import given
from hypothesis import strategies as st

from pyaiot.gateways.coap.host_turns import HostTurns


def begun(turns: HostTurns[str]) -> list[tuple[str, str]]:
    found = []
    while (turn := turns.begin()) is not None:
        found.append(turn)
    return found


def test_host_has_a_share_and_hosts_take_turns() -> None:
    turns: HostTurns[str] = HostTurns(4, 2)
    for item in "abc":
        turns.add(item, "H")
    turns.add("x", "I")
    turns.add("y", "I")
    assert begun(turns) == [("a", "H"), ("x", "I"), ("b", "H"), ("y", "I")]
    turns.end("I")
    assert begun(turns) == []  # the share of H is used
    turns.end("H")
    assert begun(turns) == [("c", "H")]


def test_item_waits_once_and_may_move_or_leave() -> None:
    turns: HostTurns[str] = HostTurns(2, 1)
    for host in ("H", "H", "I"):
        turns.add("a", host)
    turns.add("b", "I")
    turns.remove("b")
    turns.remove("b")
    assert begun(turns) == [("a", "I")]


STEPS = st.tuples(st.sampled_from(["add", "remove", "begin", "end"]), st.sampled_from("abcd"))


@given(st.lists(STEPS), st.integers(1, 3), st.integers(1, 2))
def test_limits_are_kept_and_who_can_run_runs(
    steps: list[tuple[str, str]], running_max: int, per_host_max: int
) -> None:
    turns: HostTurns[str] = HostTurns(running_max, per_host_max)
    host_of = {"a": "H", "b": "H", "c": "H", "d": "I"}
    waiting: list[str] = []
    running: list[str] = []
    for step, item in steps:
        match step:
            case "add":
                turns.add(item, host_of[item])
                if item not in waiting:
                    waiting.append(item)
            case "remove":
                turns.remove(item)
                waiting = [other for other in waiting if other != item]
            case "end" if item in running:
                running.remove(item)
                turns.end(host_of[item])
            case "begin":
                on = [host_of[other] for other in running]
                runnable = [it for it in waiting if on.count(host_of[it]) < per_host_max]
                turn = turns.begin()
                if len(running) == running_max or not runnable:
                    assert turn is None
                    continue
                assert turn is not None
                begun_item, host = turn
                assert begun_item in runnable
                assert host == host_of[begun_item]
                assert begun_item == next(it for it in waiting if host_of[it] == host)
                waiting.remove(begun_item)
                running.append(begun_item)
