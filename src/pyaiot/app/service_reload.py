# SPDX-License-Identifier: BSD-3-Clause
"""Registers what each kind of service reads again on SIGHUP."""

from collections.abc import Sequence
from functools import partial

from pyaiot.alerts.service import AlertService
from pyaiot.app.alerts import reload_alerts
from pyaiot.app.gateway_links import GatewayAccess, reload_keys
from pyaiot.app.protocols import plugins
from pyaiot.app.reload import ReadSettings, Reload
from pyaiot.app.tls import ProcessTls
from pyaiot.config import Config, RegistrySection
from pyaiot.errors import OperatorError
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.registry.service import RegistryService


def reload_of_gateways(
    config: Config,
    read_again: ReadSettings | None,
    tls: ProcessTls,
    gateways: Sequence[OpenGateway],
) -> Reload:
    """Register what every service reads again."""
    reload = Reload(config, read_again)
    if config.tls.cert_file:
        reload.file(lambda: tls.reload(gateways))
    return reload


def reload_of_broker(
    reload: Reload,
    config: Config,
    alerts: AlertService,
    registry: RegistryService,
    access: GatewayAccess,
) -> None:
    """Register what a broker reads again in addition."""

    def set_admission(new: Config) -> None:
        check_protocols(new.registry)
        registry.registry.set_admission(new.registry.admission, new.registry.admission_of)

    reload.apply(("registry.admission", "registry.admission_of"), set_admission)
    if config.alerts.file:
        reload.file(partial(reload_alerts, config.alerts, alerts))
    if access.key_file is not None:
        reload.file(partial(reload_keys, config.broker, access.key_file))


def check_protocols(section: RegistrySection) -> None:
    """Raise `OperatorError` if a setting names a protocol that does not exist."""
    known = [plugin.protocol for plugin in plugins()]
    for name in section.admission_of:
        if name.lower() not in map(str.lower, known):
            raise OperatorError(
                f"registry.admission_of: there is no protocol {name!r}; there are"
                f" {', '.join(known)}."
            )
