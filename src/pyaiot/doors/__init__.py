# SPDX-License-Identifier: BSD-3-Clause
"""What every HTTP and WebSocket door shares: who may knock, how it listens, how it waits."""
