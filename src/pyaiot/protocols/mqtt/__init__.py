# SPDX-License-Identifier: BSD-3-Clause
"""MQTT 3.1.1: packets, and the state machine of a client. Pure.

References are to "MQTT Version 3.1.1", OASIS Standard, 29 October 2014.
"""
