# SPDX-License-Identifier: BSD-3-Clause
"""Creates and restores backups: one archive with a manifest and checksums."""
