# SPDX-License-Identifier: BSD-3-Clause
"""The text around the measured rows of docs/reference/reliability.md."""

from typing import Final

TESTS: Final = (
    (
        "MQTT broker, gateway and broker are killed, one after the other",
        "10 s",
        "test_everything_that_is_killed_is_back_within_ten_seconds",
    ),
    (
        "Gateway and broker are killed with readings that MQTT acknowledged",
        "",
        "test_what_was_acknowledged_outlives_a_gateway_and_a_broker_that_are_killed",
    ),
    ("A disk is full: audit log", "5 s", "test_full_disk_is_reported_once_and_nothing_is_lost"),
    (
        "The file of the registry fails while nodes are forgotten",
        "5 s",
        "test_nodes_that_were_forgotten_while_the_file_failed_are_removed_from_it",
    ),
    ("A database of the history is emptied", "", "test_an_emptied_database_is_created_again"),
    ("The clock steps: nodes", "0 s", "test_a_clock_that_jumps_loses_no_node"),
    ("The clock steps: MQTT nodes", "0 s", "test_a_clock_that_jumps_loses_no_mqtt_node"),
    (
        "The clock steps: history",
        "0 s",
        "test_a_clock_that_is_wrong_for_a_while_deletes_nothing",
    ),
    (
        "The clock is a year ahead for a while: sessions",
        "0 s",
        "test_session_outlives_a_sign_in_while_the_clock_is_a_year_ahead",
    ),
    (
        "A disk is full: embedded MQTT broker",
        "30 s",
        "test_it_works_again_after_the_disk_was_full",
    ),
    ("Descriptors run out", "", "test_broker_without_free_descriptors_waits_quietly_and_recovers"),
    (
        "DTLS handshakes and posts over a wire that loses, delays and doubles",
        "",
        "test_handshake_and_posts_survive_a_bad_wire",
    ),
    ("The network doubles datagrams", "", "test_datagram_that_the_network_doubles_counts_once"),
    (
        "A restart between acknowledged readings and the link",
        "",
        "test_entries_survive_kill_9_and_the_command_line_shows_them",
    ),
    (
        "One of three brokers is killed while nodes post, with PostgreSQL",
        "5 s",
        "test_a_killed_broker_costs_no_acknowledged_reading_and_no_node",
    ),
    (
        "Brokers of a cluster have wrong clocks",
        "0 s",
        "test_brokers_with_wrong_clocks_record_once_what_is_sent_again",
    ),
)
"""Faults that tests make: the fault, the time to recover that the test allows, and the test."""

HEAD: Final = """\
# Reliability

<!-- Written by python -m benchmarks.faults. -->

Recovery times and losses after faults. [What happens when things fail](../explanation/failures.md)
explains the reasons.

## Measured

Broker, gateway and MQTT broker run as separate processes on one machine that also does other work.
For packet loss and for faults of the embedded MQTT broker, everything runs as `aiot run`. A node
sends 16 readings a second and repeats a reading that is not acknowledged: three times over CoAP and
MQTT-SN, without limit over MQTT with QoS 1. A program sends commands with a timeout of 2 s, one
after another.

*Served* is the time from the end of the fault, or from the start of a killed process, until a
client reads a value that was sent after it. For an embedded MQTT broker, which Pyaiot restarts, it
is the time from the fault; for packet loss, which continues, it is measured after 20 s of loss.
*Lost* is the number of readings that were acknowledged (2.04, PUBACK) and are not in the history.
If broker and gateway are killed at the same moment, the readings of the last second are lost,
because the gateway keeps them in memory until the broker confirms them. Each command that reached
the broker got one receipt, and none was carried out twice. `not connected`: the connection was
refused or lost; `unknown`: the broker did not know the node.

| fault | served | lost | commands |
| --- | --- | --- | --- |"""

CLUSTER: Final = """
## A cluster

Three machines, each a network namespace with a nats-server and a broker, as in [three
machines](../how-to/three-machines.md), use PostgreSQL for history and accounts. A CoAP gateway has
the list of brokers. 1,000 nodes with different host addresses post a number every second, and
announce themselves every 30 s and after a post that was not accepted. A client at each broker
watches all nodes. Ten commands a second go to the nodes and the brokers in turn, with a timeout of
2 s, also to a broker that the fault affects.

*Served* is the time from the fault until the clients of all reachable brokers have a reading that
was acknowledged after it. *Recovered* is the time from the end of the fault, or from the start of a
killed process, until every node has had a reading acknowledged and all clients have all readings
that were acknowledged half a second before; a node posts once a second. *Lost*: acknowledged
readings that are not in the history; *twice*: in it two times. *Offline*: nodes that the broker of
any client reported as offline. Commands: `not connected`: the broker was not running; `no answer`:
it was stopped or disconnected.

| fault | served | recovered | lost | offline | commands |
| --- | --- | --- | --- | --- | --- |"""

MQTT_CLUSTER: Final = """
## MQTT brokers of a cluster

Three times `aiot run` on one machine, whose embedded MQTT brokers are one cluster, with PostgreSQL
for the history. Twelve devices, spread over them, publish a number with QoS 1 every 0.1 s, each
when the one before was acknowledged. A device that gets no acknowledgement for 2 s, or is
disconnected, connects to the next one. One after the other is the victim, nine faults in all, three
of those that last 12 s and of the upgrade. Devices are counted from the moment when all shares are
served: at the first start of a cluster, what they publish earlier is acknowledged and lost (381
readings in one run, in which the devices did not wait).

*Without a reading*: the longest time between two readings of a device at a client of another
broker, for twelve devices and nine faults. *Lost*: acknowledged readings that are not in the
history; *twice*: readings that were sent once and are in it two times. *Left*: as above.

| fault | without a reading, median | 99 % | longest | lost | twice | left |
| --- | --- | --- | --- | --- | --- | --- |"""

TAIL: Final = """
## Shown by tests

| fault | recovers within | test |
| --- | --- | --- |"""
