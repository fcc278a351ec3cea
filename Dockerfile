# syntax=docker/dockerfile:1
# SPDX-License-Identifier: BSD-3-Clause
# Pyaiot in a container. `scripts/release --wheelhouse x86_64 --python 3.13` (or aarch64) makes the
# wheels first; then `docker build -t pyaiot .`: see docs/how-to/run-in-containers.md.
ARG BASE=debian:trixie-slim

# Unpacks Python and its libraries, and nothing else of Debian: no shell, no package manager.
FROM ${BASE} AS system
SHELL ["/bin/sh", "-eu", "-c"]
# Debian keeps only the current version of a package, so a pinned one would soon be gone.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends mmdebstrap && \
    rm -rf /var/lib/apt/lists/*
COPY deploy/container/root-file-system /usr/local/bin/root-file-system
RUN root-file-system trixie /system

# Installs the wheels into an environment.
FROM ${BASE} AS wheels
SHELL ["/bin/sh", "-eu", "-c"]
# Debian keeps only the current version of a package, so a pinned one would soon be gone.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends binutils python3-venv && \
    rm -rf /var/lib/apt/lists/*
COPY dist/wheelhouse-* /wheels/
RUN python3 -m venv /opt/pyaiot && \
    /opt/pyaiot/bin/pip install --no-index --find-links /wheels --no-cache-dir pyaiot && \
    /opt/pyaiot/bin/pip uninstall --yes pip && \
    find /opt/pyaiot -type f -name '*.so' -exec strip --strip-unneeded '{}' + && \
    find /opt/pyaiot -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' \) -delete

FROM scratch
COPY --from=system /system /
COPY --from=wheels /opt/pyaiot /opt/pyaiot
ENV PATH=/opt/pyaiot/bin:/usr/bin \
    HOME=/data \
    STATE_DIRECTORY=/data \
    CONFIGURATION_DIRECTORY=/config \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /data
VOLUME ["/data", "/keys"]
EXPOSE 8000/tcp 8001/tcp 1886/tcp 5683/udp 5684/udp 1885/udp
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["aiot", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["aiot"]
# In a container, the published ports decide who can connect. Clients must sign in: the log has a link.
CMD ["run", "--host", "::", "--insecure", "--coap-host", "::", "--coaps-port", "0", \
    "--ws-host", "::", "--mqtt-listen", "::", "--mqttsn-host", "::"]
