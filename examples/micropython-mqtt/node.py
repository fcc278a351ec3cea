# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT protocol of a Pyaiot node. Wi-Fi and pins are elsewhere."""

import json
import time

CHECK_MS = 30000
"""Interval of the sign of life."""
PAUSE_MS = 50
"""Interval of polls for received messages."""


class Node:
    """A node and its connection.

    `read` has a function for each resource that returns its value; `write` one for each that can be
    set, which takes the text and raises ValueError for a wrong one. `is_online` returns whether
    there is a network.
    """

    def __init__(self, uid, client, read, write, report_s, is_online):
        self._uid = uid
        self._client = client
        self._read = read
        self._write = write
        self._report_ms = int(report_s * 1000)
        self._is_online = is_online
        self._checked_at = self._reported_at = 0

    def run(self):
        """Connect and serve until the connection is lost, which raises an exception."""
        try:
            self.start(time.ticks_ms())
            while self._is_online():
                self.step(time.ticks_ms())
                time.sleep_ms(PAUSE_MS)
            raise OSError("the network is lost")
        finally:
            # umqtt's disconnect() wants a connection that works; a board has few sockets to lose.
            if self._client.sock:
                self._client.sock.close()

    def start(self, now):
        """Connect and announce the node. `now` is time.ticks_ms()."""
        self._client.set_callback(self._received)
        self._client.connect()
        self._client.subscribe(b"gateway/check")
        self._client.subscribe(("gateway/%s/#" % self._uid).encode())
        self._checked_at = self._reported_at = now
        self._publish("check", {"id": self._uid})
        # Unsolicited, so that a gateway that knew the node before its restart requests its values.
        self._list_resources()

    def step(self, now):
        """Handle received messages, and send what is due."""
        self._client.check_msg()
        if time.ticks_diff(now, self._checked_at) >= CHECK_MS:
            self._checked_at = now
            self._publish("check", {"id": self._uid})
        if time.ticks_diff(now, self._reported_at) >= self._report_ms:
            self._reported_at = now
            self._report("temperature")

    def _received(self, topic, payload):
        words = topic.decode().split("/")
        if words[1:] == ["check"]:
            self._publish("check", {"id": self._uid})
        elif words[2:] == ["discover"]:
            if payload == b"resources":
                self._list_resources()
            else:
                for resource in self._read:
                    self._report(resource)
        elif words[3:] == ["set"] and words[2] in self._write:
            try:
                self._write[words[2]](payload.decode())
            except ValueError:
                return  # no change and no report, so the command is not confirmed
            self._report(words[2])

    def _list_resources(self):
        self._publish(self._uid + "/resources", list(self._read))

    def _report(self, resource):
        self._publish("%s/%s" % (self._uid, resource), {"value": self._read[resource]()})

    def _publish(self, topic, value):
        # As bytes: umqtt counts the letters of a text, and "°" is two bytes.
        self._client.publish(("node/" + topic).encode(), json.dumps(value).encode())
