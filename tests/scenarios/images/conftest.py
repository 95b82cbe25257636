"""What the scenarios of images can ask for: an image of all that a layer can have, and mounts through each adapter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.archive.making import Member, directory, file, hardlink, old_sparse, symlink, tar
from tests.scenarios.foreign import Foreign
from tests.scenarios.making import NewView, making
from tests.scenarios.views import ADAPTER, ADAPTERS, Mounted

# A capability as the kernel takes it: revision 2, effective, CAP_NET_BIND_SERVICE (linux/capability.h).
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
CAPABILITY_NAME = "security.capability"
SPARSE_BYTES = 8192
LONG = "n" * 200

LOWER = tar(
    directory("etc", 0o755, uid=3, gid=4, mtime=10**9),
    file("etc/os-release", b"NAME=lower\n", uid=7, gid=8, mtime=10**9),
    file("etc/gone", b"x"),
    file("etc/twice", b"first"),
    file("etc/twice", b"second"),
    file("./bin//su", b"#!" * 5000, mode=0o4755),
    file("../climbed", b"inside"),
    directory("usr/lib"),
    file("usr/lib/a", b"aaa"),
    hardlink("usr/lib/b", "usr/lib/a"),
    symlink("lib", "usr/lib"),
    symlink("merged", "usr/lib"),
    file("merged/c", b"through the link"),
    Member("dev/null", type=b"3", device=(1, 3), mode=0o666),
    Member("dev/sda", type=b"4", device=(8, 1), mode=0o660),
    Member("run/fifo", type=b"6", mode=0o600),
    file("ping", b"p", mode=0o755, pax={f"SCHILY.xattr.{CAPABILITY_NAME}": CAPABILITY}),
    file("short", b"l", pax={"path": LONG.encode()}),
    directory("opaque"),
    file("opaque/old", b"o"),
    directory("again"),
    file("again/old", b"o"),
    old_sparse("sparse", SPARSE_BYTES, [(4096, 3)], b"abc"),
)
UPPER = tar(
    file("etc/.wh.gone"),
    file("etc/added", b"added"),
    hardlink("etc/link", "etc/os-release"),
    file("opaque/new", b"n"),
    file("opaque/.wh..wh..opq"),
    file(".wh.again"),
    file("again/new", b"n"),
    file("lib/x", b"lib is a directory now"),
)


@pytest.fixture
def image(foreign: Foreign, repository: str) -> str:
    """A repository with an image, ``v1``, of two layers."""
    foreign.image(repository, "v1", LOWER, UPPER)
    return repository


@pytest.fixture(params=ADAPTERS if ADAPTER != "fusepy" else ["fusepy"])
def new_mount(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewView]:
    """Make mounts through each adapter."""
    with making(partial(Mounted, fuse=request.param), tmp_path) as make:
        yield make
