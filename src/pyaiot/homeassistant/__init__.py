# SPDX-License-Identifier: BSD-3-Clause
"""Shows nodes in Home Assistant, over MQTT discovery, and carries its commands to them."""
