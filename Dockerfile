# An image that mounts a registry. docs/CONTAINER.md says how to run it, and why with these flags:
#
#   docker build -t regfs .
#   docker run --rm --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined \
#       --mount type=bind,source=/mnt/reg,target=/mnt/reg,bind-propagation=rshared \
#       regfs mount -f --allow-other registry.example.com /mnt/reg

ARG BASE=debian:12-slim
FROM ${BASE}

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates fuse libfuse2 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && ln -sf /proc/self/mounts /etc/mtab \
    && echo user_allow_other >> /etc/fuse.conf \
    && useradd --create-home --uid 1000 regfs \
    && install -d -o regfs -g regfs /mnt/reg

COPY pyproject.toml README.md LICENSE /usr/src/regfs/
COPY docs/man /usr/src/regfs/docs/man
COPY regfs /usr/src/regfs/regfs
RUN python3 -m venv /opt/regfs \
    && /opt/regfs/bin/pip install --no-cache-dir --disable-pip-version-check /usr/src/regfs \
    && ln -s /opt/regfs/bin/regfs /usr/local/bin/regfs \
    && rm -rf /usr/src/regfs

USER regfs
WORKDIR /home/regfs
ENTRYPOINT ["regfs"]
CMD ["--help"]
