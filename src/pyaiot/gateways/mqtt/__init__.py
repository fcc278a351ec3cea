# SPDX-License-Identifier: BSD-3-Clause
"""MQTT: nodes that publish to a broker, and a broker for them if there is none."""
