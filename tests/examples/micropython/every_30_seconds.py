# SPDX-License-Identifier: BSD-3-Clause
"""Runs a node for a minute of simulated time, and prints its messages with their times."""

import time

from node import Node


class Client:
    sock = None
    now = 0

    def set_callback(self, callback):
        pass

    def connect(self):
        pass

    def subscribe(self, topic):
        print(self.now, "subscribes", topic.decode())

    def check_msg(self):
        pass

    def publish(self, topic, payload):
        print(self.now, topic.decode(), payload.decode())


client = Client()
# Begins before the counter of milliseconds goes around, which it does on a board every 12 days.
first = time.ticks_add(0, -10000)
node = Node("n", client, {"temperature": lambda: "1°C"}, {}, 20, lambda: True)
node.start(first)
for client.now in range(0, 61000, 1000):
    node.step(time.ticks_add(first, client.now))
