# SPDX-License-Identifier: BSD-3-Clause
"""MQTT-SN 1.2: packets, and the state machines of a gateway and of a client. Pure.

Section numbers in this package are those of "MQTT for Sensor Networks, Protocol Specification,
Version 1.2". `docs/conformance.md` lists what is covered.
"""
