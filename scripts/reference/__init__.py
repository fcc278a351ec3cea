# SPDX-License-Identifier: BSD-3-Clause
"""The pages of docs/reference that the code dictates: messages, settings, limits and more."""
