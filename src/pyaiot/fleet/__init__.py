# SPDX-License-Identifier: BSD-3-Clause
"""Many virtual nodes in one process, and a ledger of what became of what they sent."""
