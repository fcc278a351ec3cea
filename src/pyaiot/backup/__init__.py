# SPDX-License-Identifier: BSD-3-Clause
"""Backups of a system, and the way back: one archive with a manifest and checksums."""
