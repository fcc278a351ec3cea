# SPDX-License-Identifier: BSD-3-Clause
"""The hardware of an ESP32 board with MicroPython's own firmware."""

import binascii
import time

import esp32
import machine
import network

NAME = "esp32"
LED_PIN = 2  # that of most development boards
WIFI_LIMIT_S = 20

_wlan = network.WLAN(network.STA_IF)
_led = machine.Pin(LED_PIN, machine.Pin.OUT, value=0)


def chip_id():
    return binascii.hexlify(machine.unique_id()).decode()


def is_online():
    return _wlan.isconnected()


def go_online(name, password):
    """Return when there is Wi-Fi. Raises OSError if there is none after WIFI_LIMIT_S."""
    if _wlan.isconnected():
        return
    _wlan.active(False)  # an attempt that still runs would refuse another one
    _wlan.active(True)
    _wlan.connect(name, password)
    for _ in range(WIFI_LIMIT_S * 10):
        if _wlan.isconnected():
            return
        time.sleep_ms(100)
    raise OSError("no Wi-Fi " + name)


def led():
    return str(_led.value())


def set_led(text):
    """Raises ValueError for anything but "0" and "1"."""
    if text not in ("0", "1"):
        raise ValueError(text)
    _led.value(int(text))


def temperature():
    """Of the chip, in °C. It is warmer than the room."""
    if hasattr(esp32, "mcu_temperature"):  # ESP32-S2, -S3, -C3, -C6
        return esp32.mcu_temperature()
    return (esp32.raw_temperature() - 32) / 1.8  # ESP32, which measures in °F
