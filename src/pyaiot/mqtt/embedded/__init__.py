# SPDX-License-Identifier: BSD-3-Clause
"""The embedded MQTT broker: nats-server as a supervised child process."""
