# SPDX-License-Identifier: BSD-3-Clause
"""A simulated board whose pins print their changes to standard output."""


def unique_id():
    return b"\x24\x0a\xc4\x00\x01\x10"


def temperature():
    return 122


class Pin:
    OUT = 3

    def __init__(self, number, mode, value):
        assert mode == self.OUT
        self._number = number
        self._value = value

    def value(self, *new):
        if not new:
            return self._value
        (self._value,) = new
        print("pin %d is %d" % (self._number, self._value))
