# SPDX-License-Identifier: BSD-3-Clause
"""The limit of file descriptors: each connection needs one."""

import logging
import resource
from typing import Final

DESCRIPTORS_WANTED: Final = 1 << 20
"""The soft limit of open files is raised to this at start, as far as the hard limit allows."""
LISTENER_SHARE: Final = 0.25
"""The share of the soft limit that the connections of one listener may use. The rest is for other
listeners, files and child processes."""

log = logging.getLogger(__name__)


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard limit, at most `DESCRIPTORS_WANTED`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:  # macOS has a limit below its hard limit
        log.warning("the limit of open files stays at %d: %s", soft, error)
    else:
        log.info("the limit of open files was raised from %d to %d", soft, wanted)


def share_of_listener(connections_max: int) -> int:
    """The lower of `connections_max` and `LISTENER_SHARE` of the soft limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections_max
    return max(1, min(connections_max, int(soft * LISTENER_SHARE)))
