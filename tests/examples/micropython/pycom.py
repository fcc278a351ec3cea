# SPDX-License-Identifier: BSD-3-Clause
"""The LED of a Pycom board."""


def heartbeat(on):
    assert on is False


def rgbled(colour):
    print("LED is 0x%06x" % colour)
