# SPDX-License-Identifier: BSD-3-Clause
"""Pure codecs and machines: bytes to packets and back, with `now` as an argument."""
