# SPDX-License-Identifier: BSD-3-Clause
"""Alerts: rules over readings and states, who is notified, and what is done about it."""
