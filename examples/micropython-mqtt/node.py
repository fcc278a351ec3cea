# SPDX-License-Identifier: BSD-3-Clause
"""What a node of Pyaiot says and hears over MQTT. It knows nothing of Wi-Fi and of pins."""

import json
import time

CHECK_MS = 30000
"""The node says so often that it is there."""
PAUSE_MS = 50
"""Between two looks at what was received."""


class Node:
    """A node and its connection.

    `read` has a function for each resource, which gives its value; `write` one for each that can be
    set, which takes the text and raises ValueError for a wrong one. `is_online` tells whether there
    is a network.
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
        """Connect and be a node until the connection is lost, which raises an exception."""
        try:
            self.start(time.ticks_ms())
            while self._is_online():
                self.step(time.ticks_ms())
                time.sleep_ms(PAUSE_MS)
            raise OSError("the network is gone")
        finally:
            # umqtt's disconnect() wants a connection that works; a board has few sockets to lose.
            if self._client.sock:
                self._client.sock.close()

    def start(self, now):
        """Connect and say who is there. `now` is time.ticks_ms()."""
        self._client.set_callback(self._received)
        self._client.connect()
        self._client.subscribe(b"gateway/check")
        self._client.subscribe(("gateway/%s/#" % self._uid).encode())
        self._checked_at = self._reported_at = now
        self._say("check", {"id": self._uid})
        # Unasked, so that a gateway that knew us before we restarted asks for our values.
        self._list_resources()

    def step(self, now):
        """Take what was received, and say what is due."""
        self._client.check_msg()
        if time.ticks_diff(now, self._checked_at) >= CHECK_MS:
            self._checked_at = now
            self._say("check", {"id": self._uid})
        if time.ticks_diff(now, self._reported_at) >= self._report_ms:
            self._reported_at = now
            self._tell("temperature")

    def _received(self, topic, payload):
        words = topic.decode().split("/")
        if words[1:] == ["check"]:
            self._say("check", {"id": self._uid})
        elif words[2:] == ["discover"]:
            if payload == b"resources":
                self._list_resources()
            else:
                for resource in self._read:
                    self._tell(resource)
        elif words[3:] == ["set"] and words[2] in self._write:
            try:
                self._write[words[2]](payload.decode())
            except ValueError:
                return  # nothing changed: nothing to tell, so the command is not confirmed
            self._tell(words[2])

    def _list_resources(self):
        self._say(self._uid + "/resources", list(self._read))

    def _tell(self, resource):
        self._say("%s/%s" % (self._uid, resource), {"value": self._read[resource]()})

    def _say(self, topic, value):
        # As bytes: umqtt counts the letters of a text, and "°" is two bytes.
        self._client.publish(("node/" + topic).encode(), json.dumps(value).encode())
