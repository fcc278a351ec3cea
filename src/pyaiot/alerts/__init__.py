# SPDX-License-Identifier: BSD-3-Clause
"""Alert rules over readings and states: who is notified, and which commands are sent."""
