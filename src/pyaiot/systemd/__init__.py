# SPDX-License-Identifier: BSD-3-Clause
"""systemd: unit files of the services, their installation, and notifications to systemd."""
