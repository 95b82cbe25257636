"""An image with everything that a layer can have, as a mount shows it, compared with the right answer."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.images.conftest import CAPABILITY, CAPABILITY_NAME, LONG, SPARSE_BYTES
from tests.scenarios.making import NewView
from tests.scenarios.views import Mounted, refused

ROOTFS = ".oci/rootfs"
FILE, LINK, DIRECTORY = stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR
# Path → type and mode, owner, group, link count, and the bytes, or the link's text, or the device.
RIGHT: dict[str, tuple[int, int, int, int, object]] = {
    LONG: (FILE | 0o644, 0, 0, 1, b"l"),
    "again": (DIRECTORY | 0o755, 0, 0, 1, None),
    "again/new": (FILE | 0o644, 0, 0, 1, b"n"),
    "bin": (DIRECTORY | 0o755, 0, 0, 1, None),
    "bin/su": (FILE | 0o4755, 0, 0, 1, b"#!" * 5000),
    "climbed": (FILE | 0o644, 0, 0, 1, b"inside"),
    "dev": (DIRECTORY | 0o755, 0, 0, 1, None),
    "dev/null": (stat.S_IFCHR | 0o666, 0, 0, 1, os.makedev(1, 3)),
    "dev/sda": (stat.S_IFBLK | 0o660, 0, 0, 1, os.makedev(8, 1)),
    "etc": (DIRECTORY | 0o755, 3, 4, 1, None),
    "etc/added": (FILE | 0o644, 0, 0, 1, b"added"),
    "etc/link": (FILE | 0o644, 7, 8, 2, b"NAME=lower\n"),
    "etc/os-release": (FILE | 0o644, 7, 8, 2, b"NAME=lower\n"),
    "etc/twice": (FILE | 0o644, 0, 0, 1, b"second"),
    "lib": (DIRECTORY | 0o755, 0, 0, 1, None),
    "lib/x": (FILE | 0o644, 0, 0, 1, b"lib is a directory now"),
    "merged": (LINK | 0o777, 0, 0, 1, "usr/lib"),
    "opaque": (DIRECTORY | 0o755, 0, 0, 1, None),
    "opaque/new": (FILE | 0o644, 0, 0, 1, b"n"),
    "ping": (FILE | 0o755, 0, 0, 1, b"p"),
    "run": (DIRECTORY | 0o755, 0, 0, 1, None),
    "run/fifo": (stat.S_IFIFO | 0o600, 0, 0, 1, None),
    "sparse": (FILE | 0o644, 0, 0, 1, bytes(4096) + b"abc" + bytes(SPARSE_BYTES - 4099)),
    "usr": (DIRECTORY | 0o755, 0, 0, 1, None),
    "usr/lib": (DIRECTORY | 0o755, 0, 0, 1, None),
    "usr/lib/a": (FILE | 0o644, 0, 0, 2, b"aaa"),
    "usr/lib/b": (FILE | 0o644, 0, 0, 2, b"aaa"),
    "usr/lib/c": (FILE | 0o644, 0, 0, 1, b"through the link"),
}


def described(root: Path) -> dict[str, tuple[int, int, int, int, object]]:
    """All that is below a directory."""
    found = {}
    for above, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(above, name)
            at = path.lstat()
            what: object = None
            if stat.S_ISREG(at.st_mode):
                what = path.read_bytes()
                assert len(path.read_bytes()) == at.st_size
            elif stat.S_ISLNK(at.st_mode):
                what = os.readlink(path)
            elif stat.S_ISCHR(at.st_mode) or stat.S_ISBLK(at.st_mode):
                what = at.st_rdev
            found[str(path.relative_to(root))] = (at.st_mode, at.st_uid, at.st_gid, at.st_nlink, what)
    return found


def test_the_root_of_an_image_is_what_the_rules_say(new_mount: NewView, registry: Registry, image: str) -> None:
    view = new_mount(f"{registry.url}/{image}:v1")
    assert isinstance(view, Mounted)
    assert described(view.directory / ROOTFS) == RIGHT


def test_a_mount_of_the_root_is_the_image(new_mount: NewView, registry: Registry, image: str) -> None:
    view = new_mount(f"{registry.url}/{image}:v1", rootfs=True)
    assert isinstance(view, Mounted)
    assert described(view.directory) == RIGHT
    listed = subprocess.run(["tar", "-c", "-C", view.directory, "."], capture_output=True, check=True)
    assert listed.stderr == b""


def test_a_mount_of_the_root_stays_the_image_that_it_was(
    new_mount: NewView, registry: Registry, foreign: Foreign, image: str
) -> None:
    view = new_mount(f"{registry.url}/{image}:v1", rootfs=True)
    foreign.artifact(image, "v1", {"a": b"a"})
    assert view.read_bytes("etc/added") == b"added"


def test_an_extended_attribute_has_its_exact_bytes(new_mount: NewView, registry: Registry, image: str) -> None:
    view = new_mount(f"{registry.url}/{image}:v1")
    assert isinstance(view, Mounted)
    path = view.path(f"{ROOTFS}/ping")
    assert os.getxattr(path, CAPABILITY_NAME) == CAPABILITY
    assert CAPABILITY_NAME in os.listxattr(path)


def test_a_file_says_which_layer_it_comes_from(
    new_mount: NewView, registry: Registry, foreign: Foreign, image: str
) -> None:
    view = new_mount(f"{registry.url}/{image}:v1")
    lower, upper = (layer["digest"] for layer in foreign.document(image, "v1")["layers"])
    for path, layer, digest in (("etc/twice", "01", lower), ("etc/added", "02", upper), ("etc/link", "01", lower)):
        found = view.xattrs(f"{ROOTFS}/{path}")
        assert (found["user.regfs.layer"], found["user.regfs.layer_digest"]) == (layer, digest)
        assert found["user.regfs.created_by"] == f"RUN step {int(layer)}"
    assert view.xattrs("")["user.regfs.rootfs"] == ROOTFS


def test_each_layer_shows_its_markers(new_mount: NewView, registry: Registry, image: str) -> None:
    view = new_mount(f"{registry.url}/{image}:v1")
    assert view.list(".oci/layers") == ["01", "02"]
    assert view.list(".oci/layers/02/opaque") == [".wh..wh..opq", "new"]
    assert view.read_bytes(".oci/layers/01/etc/gone") == b"x"


@pytest.mark.logs(r"read-only$", r"registry has no links$")
def test_nothing_in_an_image_can_be_changed(new_mount: NewView, registry: Registry, image: str) -> None:
    view = new_mount(f"{registry.url}/{image}:v1")
    assert isinstance(view, Mounted)
    inside = view.path(f"{ROOTFS}/etc/added")
    changes = [
        lambda: view.write_bytes(f"{ROOTFS}/etc/added", b"x"),
        lambda: view.write_bytes(f"{ROOTFS}/etc/new", b"x"),
        lambda: view.remove(f"{ROOTFS}/etc/added"),
        lambda: view.rename(f"{ROOTFS}/etc/added", f"{ROOTFS}/etc/b"),
        lambda: view.rename(f"{ROOTFS}/etc", "etc"),
        lambda: view.mkdir(f"{ROOTFS}/etc/d"),
        lambda: view.rmdir(f"{ROOTFS}/run"),
        lambda: view.truncate(f"{ROOTFS}/etc/added", 0),
        lambda: os.utime(inside),
        lambda: os.chmod(inside, 0o600),
        lambda: os.chown(inside, 1, 1),
    ]
    for change in changes:
        with refused(errno.EROFS):
            change()
    assert view.read_bytes(f"{ROOTFS}/etc/added") == b"added"


def test_a_listing_of_the_hidden_directory_downloads_no_layer(
    new_mount: NewView, registry: Registry, foreign: Foreign, image: str
) -> None:
    view = new_mount(f"{registry.url}/{image}:v1")
    assert isinstance(view, Mounted)
    subprocess.run(["ls", "-lR", view.path(".oci/blobs"), view.path("")], capture_output=True, check=True)
    subprocess.run(["ls", "-l", view.path(".oci"), view.path(".oci/layers")], capture_output=True, check=True)
    for layer in foreign.document(image, "v1")["layers"]:
        assert view.cached(layer["digest"]) == []
