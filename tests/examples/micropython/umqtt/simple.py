# SPDX-License-Identifier: BSD-3-Clause
"""umqtt.simple, as it is documented, for a MicroPython without it: MQTT 3.1.1 with QoS 0.

It is a new implementation that behaves like the real one: `check_msg` does not wait, a callback may
publish, and a lost connection raises the first exception that it causes.
"""

import socket
import struct


class MQTTException(Exception):
    pass


class MQTTClient:
    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=None):
        assert ssl is None and (user is None) == (password is None)
        self.sock = None
        self._address = server, port
        self._keepalive = keepalive
        self._callback = None
        self._texts = [text.encode() for text in (client_id, user, password) if text is not None]

    def set_callback(self, f):
        self._callback = f

    def connect(self, clean_session=True):
        assert clean_session
        self.sock = socket.socket()
        self.sock.connect(socket.getaddrinfo(*self._address)[0][-1])
        flags = b"\xc2" if len(self._texts) == 3 else b"\2"
        texts = b"".join(struct.pack("!H", len(text)) + text for text in self._texts)
        self._send(0x10, b"\0\4MQTT\4", flags, struct.pack("!H", self._keepalive), texts)
        answer = self.sock.read(4)
        if answer[3]:
            raise MQTTException(answer[3])

    def subscribe(self, topic, qos=0):
        assert self._callback is not None
        self._send(0x82, b"\0\1", struct.pack("!H", len(topic)), topic, bytes([qos]))
        while self.wait_msg() != 0x90:
            pass
        if self.sock.read(4)[3] == 0x80:
            raise MQTTException(0x80)

    def publish(self, topic, msg, retain=False, qos=0):
        assert not retain and qos == 0
        # The real one also accepts text, but counts characters, not bytes: a bug to detect.
        assert isinstance(topic, bytes) and isinstance(msg, bytes)
        self._send(0x30, struct.pack("!H", len(topic)), topic, msg)

    def check_msg(self):
        self.sock.setblocking(False)
        return self.wait_msg()

    def wait_msg(self):
        kind = self.sock.read(1)
        self.sock.setblocking(True)
        if kind is None:
            return None
        if kind == b"":
            raise OSError(-1)
        if kind[0] & 0xF0 != 0x30:
            return kind[0]
        size, shift = 0, 0
        while True:
            digit = self.sock.read(1)[0]
            size |= (digit & 0x7F) << shift
            if digit < 0x80:
                break
            shift += 7
        (length,) = struct.unpack("!H", self.sock.read(2))
        topic = self.sock.read(length)
        self._callback(topic, self.sock.read(size - 2 - length))
        return kind[0]

    def _send(self, kind, *parts):
        body = b"".join(parts)
        size = len(body)
        assert size < 0x4000
        length = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
        self.sock.write(bytes([kind]) + length + body)
