# SPDX-License-Identifier: BSD-3-Clause
"""Records changes of accounts by the command line in the audit log."""

import os
import time

from pyaiot.audit.entry import COMMAND_LINE, entries
from pyaiot.cli.options import load
from pyaiot.cli.terminal import print_error
from pyaiot.config import Config, data_folder
from pyaiot.errors import reason_of


def record_change(
    action: str, detail: str = "", *, uids: tuple[str, ...] = (), config: Config | None = None
) -> None:
    """Append an entry to the audit log of the settings. No secret may be in it.

    `config` None: the settings without flags.

    The change is made already: if the entry cannot be written, a warning is printed.
    """
    from pyaiot.app.audit import audit_store  # noqa: PLC0415 - only after a change

    settings = load(None, {})[0] if config is None else config
    store = audit_store(settings, data_folder(os.environ))
    if store is None:
        return
    try:
        store.append(entries(COMMAND_LINE, action, ts=time.time(), uids=uids, detail=detail))
    except OSError as error:
        print_error(
            f"The change is not in the audit log, which cannot be written: {reason_of(error)}."
        )
    finally:
        store.close()
