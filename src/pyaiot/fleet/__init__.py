# SPDX-License-Identifier: BSD-3-Clause
"""Load generator: many virtual nodes in one process, and a ledger of their readings."""
