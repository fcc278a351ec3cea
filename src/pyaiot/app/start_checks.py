# SPDX-License-Identifier: BSD-3-Clause
"""Checks of settings that `aiot run` makes before it opens anything. The doctor makes them too."""

from pyaiot.app.broker_web import check_web
from pyaiot.app.optional_parts import check_optional_parts
from pyaiot.app.workers import with_workers
from pyaiot.config import Config


def check_start(config: Config) -> Config:
    """The settings of the first worker. Raises `OperatorError` if `aiot run` cannot start with
    these settings: a web listener without TLS, workers or a cluster without what they share, or
    invalid settings for Home Assistant."""
    config = with_workers(config)
    check_web(config)
    check_optional_parts(config, embeds_broker=True)
    return config
