# SPDX-License-Identifier: BSD-3-Clause
"""Shows nodes in Home Assistant through MQTT discovery, and carries out its commands."""
