# SPDX-License-Identifier: BSD-3-Clause
"""The hardware of a Pycom board (WiPy, LoPy, FiPy) with Pycom's firmware."""

import binascii
import time

import machine
import pycom
from network import WLAN

NAME = "pycom"
LED_COLOUR = 0x202020
WIFI_LIMIT_S = 20

_wlan = WLAN(mode=WLAN.STA)
_led = "0"
pycom.heartbeat(False)  # the LED is ours
pycom.rgbled(0)


def chip_id():
    return binascii.hexlify(machine.unique_id()).decode()


def is_online():
    return _wlan.isconnected()


def go_online(name, password):
    """Return when there is Wi-Fi. Raises OSError if there is none after WIFI_LIMIT_S."""
    if _wlan.isconnected():
        return
    _wlan.disconnect()
    _wlan.connect(name, auth=(WLAN.WPA2, password))
    for _ in range(WIFI_LIMIT_S * 10):
        if _wlan.isconnected():
            return
        time.sleep_ms(100)
    raise OSError("no Wi-Fi " + name)


def led():
    return _led


def set_led(text):
    """Raises ValueError for anything but "0" and "1"."""
    global _led
    if text not in ("0", "1"):
        raise ValueError(text)
    _led = text
    pycom.rgbled(LED_COLOUR if text == "1" else 0)


def temperature():
    """Of the chip, in °C. It is warmer than the room."""
    return (machine.temperature() - 32) / 1.8  # it measures in °F
