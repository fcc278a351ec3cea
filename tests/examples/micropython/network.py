# SPDX-License-Identifier: BSD-3-Clause
"""Simulated Wi-Fi of ESP32 and Pycom, which is down while a file `no-wifi` is beside this one."""

import os

HERE = __file__.rpartition("/")[0]
STA_IF = 0


class WLAN:
    STA = 1
    WPA2 = 3

    def __init__(self, interface=None, mode=None):
        assert (interface, mode) in ((STA_IF, None), (None, self.STA))
        self._active = mode is not None
        self._joined = False

    def active(self, on):
        self._active = on
        self._joined = False

    def disconnect(self):
        self._joined = False

    def connect(self, name, password=None, auth=None):
        assert self._active and not self._joined
        assert password == "secret" or auth == (self.WPA2, "secret")
        print("joins", name)
        self._joined = True

    def isconnected(self):
        if "no-wifi" in os.listdir(HERE):
            self._joined = False
        return self._joined
