# SPDX-License-Identifier: BSD-3-Clause
"""MQTT-SN: clients over UDP, each with a connection of its own to an MQTT broker."""
