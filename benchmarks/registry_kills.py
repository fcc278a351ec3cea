# SPDX-License-Identifier: BSD-3-Clause
"""The registry while its processes are killed: broker, two gateways, a fleet, and a roaming node.

A client edits nodes over HTTP all the time. Each round kills some of the processes at a random
time, reads the file of the registry, and starts the processes again. The file must contain every
edit that was answered and every node that was listed, and each online node must have been seen at
most ten seconds before.
"""

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.coap import Node, post
from benchmarks.processes import HOST, BenchmarkError, Home, Server, free_port
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results
from pyaiot.registry.record import NodeRecord
from pyaiot.registry.sqlite import SqliteStore

FLEET_NODES: Final = 20
SEED: Final = 13
SEEN_AGE_MAX_S: Final = 10.0
KNOWN_BEFORE_S: Final = 2.5
"""Nodes that were listed this long before a kill must be in the file."""
POLL_S: Final = 0.25
RETURN_LIMIT_S: Final = 30.0


def measure(results: Results, home: Home, size: Size) -> None:
    rounds = size.registry_kills
    run = Run(home)
    try:
        run.begin()
        for number in range(rounds):
            run.round(number, most_s=size.registry_kills_up_s)
        run.finish()
    finally:
        run.end()
    results.figures += [
        Figure(
            "registry-kills",
            f"answered edits that are lost after {rounds} times kill -9",
            len(run.lost),
            "edits",
            at_most=0,
            note=f"of {run.people.answered} answered; {run.killed} processes killed",
        ),
        Figure("registry-kills", "nodes that are missing", len(run.missing), "nodes", at_most=0),
        Figure(
            "registry-kills",
            "age of when an online node was last seen, at most",
            run.oldest_s,
            "s",
            at_most=SEEN_AGE_MAX_S,
            note=f"{FLEET_NODES} nodes of a fleet, 2 readings/s; the roaming node changed"
            f" its gateway {run.roamed - 1} times",
        ),
    ]
    if run.lost or run.missing:
        raise BenchmarkError(f"lost edits {run.lost}, missing nodes {run.missing}")


class Run:
    """The processes, and the checks of the registry."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.path / "registry-kills.db"
        self._random = random.Random(SEED)
        self._ports = {
            "broker": free_port(),
            "east": free_port(socket.SOCK_DGRAM),
            "west": free_port(socket.SOCK_DGRAM),
        }
        self._servers: dict[str, Server] = {}
        self._fleet: Server | None = None
        self.people = People(self._ports["broker"])
        self._roaming = Roaming([self._ports["east"], self._ports["west"]])
        self.killed = 0
        self.lost: list[str] = []
        self.missing: list[str] = []
        self.oldest_s = 0.0
        self.roamed = 0
        self._roams_at = ""

    def begin(self) -> None:
        for name in self._ports:
            self._start(name)
        self._fleet = Server(
            [
                *("-m", "pyaiot", "fleet", "--ws", "0", "--mqtt", "0", "--mqttsn", "0"),
                *("--coap", str(FLEET_NODES), "--rate", "2", "--seconds", "3600"),
                *("--coap-port", str(self._ports["east"])),
                *("--broker-port", str(self._ports["broker"])),
            ],
            home=self._home,
            port=0,
        )
        self._roaming.start()
        self._wait_online()
        self.people.start()

    def round(self, number: int, *, most_s: float) -> None:
        """Let all processes run, kill some, check the file, and start them again."""
        until = time.monotonic() + self._random.uniform(most_s / 4, most_s)
        listed: list[tuple[float, dict[str, str]]] = []
        while time.monotonic() < until:
            listed.append((time.monotonic(), self._states()))
            time.sleep(POLL_S)
        victims = self._random.choice(
            [["broker"], ["broker"], [*self._ports], ["broker", "east"], ["east", "west"], ["west"]]
        )
        if number == 0:
            victims = [*self._ports]
        for name in victims:
            os.kill(self._servers[name].pid, signal.SIGKILL)
        killed_at, wall = time.monotonic(), time.time()
        self.killed += len(victims)
        # Waits until the request of the moment has failed.
        with self.people.lock:
            for name in victims:
                self._servers.pop(name).end()
            if "broker" in victims:
                stored = self._stored()
                self._check(stored, listed, killed_at, wall)
                # A node that had just appeared is unknown until it sends again.
                self.people.uids = [uid for uid in self.people.uids if uid in stored]
            for name in victims:
                self._start(name)
        found = self._states()
        # After the broker was killed, `_check` decides which nodes it must know.
        expected = self.people.known if "broker" in victims else listed[-1][1]
        self.missing += [uid for uid in expected if uid not in found]

    def finish(self) -> None:
        """Everything is online again, and the broker has all edits."""
        self._wait_online()
        self.people.stop()
        self.people.join()
        if self.people.problem:
            raise BenchmarkError(self.people.problem)
        with self.people.lock:
            shown = {node["uid"]: node.get("label", "") for node in self._nodes()}
            self.lost += [
                uid for uid, label in self.people.expected.items() if label != shown.get(uid)
            ]

    def end(self) -> None:
        self.people.stop()
        self._roaming.stop()
        for server in (*self._servers.values(), self._fleet):
            if server is not None:
                server.end()

    def _start(self, name: str) -> None:
        port = self._ports[name]
        keys = ("--key-file", str(self._home.key_file))
        if name == "broker":
            arguments = ("broker", "--web-port", str(port), "--history", "off")
            more = ("--registry", str(self._path))
        else:
            arguments = ("coap-gateway", "--coap-port", str(port), "--name", name)
            more = ("--broker-port", str(self._ports["broker"]))
        server = Server(
            ["-m", "pyaiot", *arguments, *more, *keys],
            home=self._home,
            port=port if name == "broker" else 0,
        )
        self._servers[name] = server
        if name == "broker":
            server.wait_ready()

    def _nodes(self) -> list[dict[str, Any]]:
        status, document = request(self._ports["broker"], "GET", "/api/nodes")
        if status != 200 or document is None:
            raise BenchmarkError(f"the API answered {status}")
        nodes: list[dict[str, Any]] = document["nodes"]
        return nodes

    def _states(self) -> dict[str, str]:
        """The nodes that the API lists, with their states. Notes where the roaming node is."""
        nodes = self._nodes()
        for node in nodes:
            if node["uid"] == self._roaming.uid and node.get("gateway", "") != self._roams_at:
                self._roams_at = node.get("gateway", "")
                self.roamed += 1
        states = {node["uid"]: node["state"] for node in nodes}
        self.people.uids = sorted(uid for uid in states if not uid.startswith(SPARE))
        return {uid: state for uid, state in states.items() if not uid.startswith(SPARE)}

    def _wait_online(self) -> None:
        limit = time.monotonic() + RETURN_LIMIT_S
        while list(self._states().values()).count("online") < FLEET_NODES + 1:
            if time.monotonic() > limit:
                raise BenchmarkError(f"not all nodes are online: {self._states()}")
            time.sleep(POLL_S)

    def _stored(self) -> dict[str, NodeRecord]:
        """The content of the file, read from a copy so that reading repairs nothing."""
        folder = self._home.path / "registry-copy"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in (self._path.name, self._path.name + "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(self._path.with_name(name), folder / name)
        store = SqliteStore(Path(folder / self._path.name))
        try:
            return {record.uid: record for record in store.open()}
        finally:
            store.close()

    def _check(
        self,
        stored: dict[str, NodeRecord],
        listed: list[tuple[float, dict[str, str]]],
        killed_at: float,
        wall: float,
    ) -> None:
        people = self.people
        for uid, label in people.expected.items():
            record = stored.get(uid)
            found = None if record is None else record.annotations.label
            if found != label and found not in people.unanswered.get(uid, ()):
                self.lost.append(f"{uid}: {found!r} instead of {label!r}")
        for uid in people.unanswered:
            record = stored.get(uid)
            people.expected[uid] = None if record is None else record.annotations.label
        people.unanswered.clear()
        before = [states for at, states in listed if at < killed_at - KNOWN_BEFORE_S]
        known = {*people.known, *(before[-1] if before else ())}
        # What was listed a moment before the kill may not be in the file; what was, stays.
        people.known |= {*known, *(uid for uid in listed[-1][1] if uid in stored)}
        self.missing += [uid for uid in known if uid not in stored]
        for uid, state in listed[-1][1].items():
            if state == "online" and uid in stored:
                self.oldest_s = max(self.oldest_s, wall - stored[uid].last_seen)


SPARE: Final = "spare-"
"""Prefix of the uids of nodes that are registered and forgotten, and never seen."""


class People(threading.Thread):
    """A client that edits, registers and forgets nodes, one request after the other."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.lock = threading.Lock()
        """Held during a request."""
        self.expected: dict[str, str | None] = {}
        """The label of each node after its last edit that was answered; None: it is forgotten."""
        self.unanswered: dict[str, set[str | None]] = {}
        """The same of requests without an answer: they may have been carried out."""
        self.uids: list[str] = []
        """Nodes that may be edited."""
        self.known: set[str] = set()
        self.answered = 0
        self.problem = ""
        """A status that no request may have; it ended the thread."""
        self._port = port
        self._random = random.Random(SEED)
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        number = 0
        while not self.problem and not self._stopped.wait(0.002):
            number += 1
            with self.lock:
                self._edit(f"label {number}", number)

    def _edit(self, label: str, number: int) -> None:
        choice = self._random.random()
        spares = [uid for uid, it in self.expected.items() if it and uid.startswith(SPARE)]
        wanted: str | None = label
        body: dict[str, Any] | None
        if choice < 0.15:
            uid = f"{SPARE}{number}"
            method, path, body = "POST", "/api/nodes", {"nodes": [{"uid": uid, "label": label}]}
        elif choice < 0.3 and spares:
            uid = self._random.choice(spares)
            method, path, body, wanted = "DELETE", f"/api/nodes/{uid}", None, None
        elif choice < 0.4 and self.uids:
            uid = self._random.choice(self.uids)
            method, path = "PATCH", f"/api/nodes?uid={uid}"
            body = {"label": label, "add_tags": ["bulk"]}
        elif self.uids:
            uid = self._random.choice(self.uids)
            method, path, body = "PATCH", f"/api/nodes/{uid}", {"label": label}
        else:
            return
        status, _ = request(self._port, method, path, body)
        if status in (200, 204):
            self.answered += 1
            self.expected[uid] = wanted
            self.unanswered.pop(uid, None)
        elif status in (0, 503):
            self.unanswered.setdefault(uid, set()).add(wanted)
            self._stopped.wait(0.02)
        elif status != 404 or (uid in self.expected and uid not in self.unanswered):
            # A node that appeared in the last second before a kill may not be stored yet. After an
            # edit that was answered it is.
            self.problem = f"{method} {path} was answered {status}"


class Roaming(threading.Thread):
    """A node in reach of two gateways."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__(daemon=True)
        self._nodes = [Node(4000 + index, port, {}) for index, port in enumerate(ports)]
        self.uid = self._nodes[0].uid
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        number = 0
        while not self._stopped.wait(0.25):
            for node in self._nodes:
                for path, payload in (
                    ("alive", f"alive:{self.uid}"),
                    ("server", f"count:{number}"),
                ):
                    number += 1
                    with contextlib.suppress(OSError):  # the gateway is away
                        node.socket.send(post(path, payload, number & 0xFFFF))
        for node in self._nodes:
            node.socket.close()


def request(
    port: int, method: str, path: str, body: object = None
) -> tuple[int, dict[str, Any] | None]:
    """Status and document of the response; status 0 if there was no response."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20.0)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        received = response.read()
        return response.status, json.loads(received) if received else None
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()
