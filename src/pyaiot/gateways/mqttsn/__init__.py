# SPDX-License-Identifier: BSD-3-Clause
"""MQTT-SN: clients over UDP, each with its own connection to an MQTT broker."""
