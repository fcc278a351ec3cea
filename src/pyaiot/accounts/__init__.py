# SPDX-License-Identifier: BSD-3-Clause
"""Access to a broker: users, roles, sessions, and tokens for programs, gateways and devices."""
