# SPDX-License-Identifier: BSD-3-Clause
"""HTTP server, WebSockets, UDP, timers, rate limits: what every listener shares."""
