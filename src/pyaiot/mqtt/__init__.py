# SPDX-License-Identifier: BSD-3-Clause
"""Clients of an MQTT broker, and the embedded MQTT broker."""
