# SPDX-License-Identifier: BSD-3-Clause
"""What recovers how soon after a fault, and what is lost: writes docs/reference/reliability.md."""
