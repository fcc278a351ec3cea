# SPDX-License-Identifier: BSD-3-Clause
"""The history: a recorder of what the broker publishes, and stores behind one interface."""
