# SPDX-License-Identifier: BSD-3-Clause
"""`aiot cluster`: the brokers of a cluster, as one of them sees them."""

import msgspec
import typer

from pyaiot.cli import formatting
from pyaiot.cli.client_command import Options, add_command
from pyaiot.cli.terminal import EXIT_NO, Paint, plain, print_error, print_line, table
from pyaiot.client import ClusterRow


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    add_command(app, "cluster", _cluster, short_lived=True)


async def _cluster(options: Options) -> int:
    """Show the brokers of the cluster, as the broker sees them.

    If their embedded MQTT brokers are one cluster, its machines follow.

    The exit code is 1 if the broker is alone, is not connected, or has lost another one, or if
    another one has an incompatible version or a clock that differs.
    """
    async with options.client(live=False) as client:
        row = await client.cluster()
    if options.json:
        print_line(formatting.as_json(msgspec.to_builtins(row)))
    elif row.in_cluster:
        print_line(cluster_table(row, options.paint))
    if (problem := problem_of(row)) and not options.json:
        print_error(problem)
    return EXIT_NO if problem else 0


def cluster_table(row: ClusterRow, paint: Paint) -> str:
    """The table of brokers. The one that answered comes first."""
    own = [row.name, "this one", "", "", _count(row.nodes), _count(row.gateways), row.version, ""]
    rows = [own] + [
        [
            it.name,
            it.state,
            f"{it.silent_s:.1f} s",
            f"{it.lag_s:.1f} s",
            _count(it.nodes),
            _count(it.gateways),
            it.version,
            it.address,
        ]
        for it in row.peers
    ]
    header = ["BROKER", "STATE", "SILENT", "LAG", "NODES", "GATEWAYS", "VERSION", "ADDRESS"]
    shown = table(header, [[plain(cell) for cell in cells] for cells in rows], paint)
    if not row.embedded_brokers:
        return shown
    machines = [[plain(it.address), it.state, str(it.shares)] for it in row.embedded_brokers]
    return f"{shown}\n\n{table(['EMBEDDED BROKER', 'STATE', 'SHARES OF NODES'], machines, paint)}"


def problem_of(row: ClusterRow) -> str:
    """What is wrong, as a sentence; empty: nothing."""
    if not row.in_cluster:
        return "the broker is alone: aiot broker --cluster makes it one of a cluster."
    if not row.connected:
        why = f": {plain(row.problem).rstrip('.')}" if row.problem else ""
        return f"the broker is not connected to a nats-server{why}."
    if unlike := [
        f"{plain(it.name)} ({plain(it.version)})" for it in row.peers if it.state == "incompatible"
    ]:
        return (
            f"the version of {', '.join(unlike)} does not work together with {plain(row.version)}:"
            " upgrade one release after the other."
        )
    if lost := [plain(it.name) for it in row.peers if it.state == "lost"]:
        return f"no packets from {', '.join(lost)}."
    if gone := [plain(it.address) for it in row.embedded_brokers if it.state == "lost"]:
        return f"no gateway at {', '.join(gone) or 'another machine'}: others serve its nodes."
    if wrong := [f"{plain(it.name)} ({it.ahead_s:+.0f} s)" for it in row.peers if it.ahead_s]:
        return f"the clocks of brokers differ: {', '.join(wrong)}. Synchronise them (NTP)."
    return ""


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
