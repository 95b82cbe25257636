"""``regfs ls``, ``get`` and ``cat`` of what lies in layers; ``get`` writes what ``oras pull`` writes."""

from __future__ import annotations

import gzip
import os

import oras.client
import pytest

from tests.archive.making import directory, file, symlink, tar
from tests.cli.conftest import Regfs
from tests.registries import Registry
from tests.scenarios.foreign import TAR_GZIP, Foreign, digest_of

LOWER = tar(
    file("usr/lib/os-release", b"NAME=x\n"), directory("etc"), symlink("etc/os-release", "../usr/lib/os-release")
)
UPPER = tar(symlink("etc/absolute", "/usr/lib/os-release"), symlink("etc/out", "../../../../etc/passwd"))
PACKED = tar(directory("plots"), file("plots/may", b"may", mode=0o755, mtime=10**9), symlink("plots/link", "may"))


@pytest.fixture
def image(registry: Registry, foreign: Foreign, repository: str) -> str:
    """The reference of an image of two layers."""
    foreign.image(repository, "v1", LOWER, UPPER)
    return f"{registry.host}/{repository}:v1"


def pack(foreign: Foreign, repository: str, content: bytes) -> None:
    """Publish ``plots``, as oras packs it, and ``notes``."""
    layer = foreign.layer(repository, gzip.compress(content, mtime=0), "plots", mediaType=TAR_GZIP)
    layer["annotations"]["io.deis.oras.content.unpack"] = "true"
    foreign.publish(repository, "v1", [layer, foreign.layer(repository, b"notes", "notes")])


def test_cat_prints_a_file_of_an_image(regfs: Regfs, image: str) -> None:
    assert regfs("cat", image, ".oci/rootfs/usr/lib/os-release") == "NAME=x\n"
    assert regfs("cat", image, ".oci/layers/01/usr/lib/os-release") == "NAME=x\n"
    assert "no file .oci/rootfs/nix" in regfs.fails("cat", image, ".oci/rootfs/nix")
    assert "directory" in regfs.fails("cat", image, ".oci/rootfs/usr")


def test_cat_follows_links_that_stay_in_the_image(regfs: Regfs, image: str) -> None:
    assert regfs("cat", image, ".oci/rootfs/etc/os-release") == "NAME=x\n"
    assert regfs("cat", image, ".oci/rootfs/etc/absolute") == "NAME=x\n"
    assert "no file" in regfs.fails("cat", image, ".oci/rootfs/etc/out")


def test_cat_prints_a_file_of_a_tag(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a/b": b"text"})
    assert regfs("cat", f"{registry.host}/{repository}:v1", "a/b") == "text"


def test_ls_lists_what_lies_in_an_image(regfs: Regfs, image: str) -> None:
    assert regfs("ls", image, ".oci/rootfs").split() == ["etc/", "usr/"]
    assert regfs("ls", image, ".oci/layers").split() == ["01/", "02/"]
    assert regfs("ls", "-R", image, ".oci/layers/01").split() == [
        ".oci/layers/01/etc/os-release",
        ".oci/layers/01/usr/lib/os-release",
    ]


def test_ls_keeps_the_order_of_layers(regfs: Regfs, foreign: Foreign, registry: Registry, repository: str) -> None:
    tars = [tar(file(name)) for name in "abcdef"]
    foreign.image(repository, "v1", *tars)
    layers = [digest_of(gzip.compress(tar, 1, mtime=0)) for tar in tars]
    reference = f"{registry.host}/{repository}:v1"
    assert regfs("ls", reference).split() == regfs("ls", "-R", reference).split() == layers


def test_get_writes_what_lies_in_an_image(regfs: Regfs, image: str) -> None:
    regfs("get", image, ".oci/rootfs/usr", "-o", "out")
    assert regfs.files("out") == {"usr/lib/os-release": b"NAME=x\n"}
    regfs("get", image, ".oci/rootfs/etc", "-o", "out")
    assert os.readlink(regfs.here / "out/etc/out") == "../../../../etc/passwd"
    regfs("get", image, ".oci/rootfs/etc/os-release", "-o", "here.txt")
    assert (regfs.here / "here.txt").read_bytes() == b"NAME=x\n"


def test_get_writes_what_oras_pull_writes(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    pack(foreign, repository, PACKED)
    reference = f"{registry.host}/{repository}:v1"
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    client.pull(reference, outdir=str(regfs.here / "theirs"))
    regfs("get", reference, "-o", "own")
    assert regfs.files("own") == regfs.files("theirs")
    assert os.readlink(regfs.here / "own/plots/link") == "may"
    found = (regfs.here / "own/plots/may").stat()
    assert (found.st_mode & 0o111, found.st_mtime) == (0o111, 10**9)


def test_get_without_unpacking_writes_the_archive(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    pack(foreign, repository, PACKED)
    regfs("get", "--no-unpack", f"{registry.host}/{repository}:v1", "-o", "out")
    assert regfs.files("out") == {"plots": gzip.compress(PACKED, mtime=0), "notes": b"notes"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../out", "../plots2/x"])
def test_get_writes_no_link_that_leads_out(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str, target: str
) -> None:
    pack(foreign, repository, tar(directory("plots"), symlink("plots/link", target)))
    assert "outside of its directory" in regfs.fails("get", f"{registry.host}/{repository}:v1", "-o", "out")


def test_rm_of_a_packed_directory_needs_r(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    pack(foreign, repository, PACKED)
    reference = f"{registry.host}/{repository}:v1"
    assert "-r" in regfs.fails("rm", reference, "plots")
    regfs("rm", "-r", reference, "plots")
    assert foreign.files(repository, "v1") == {"notes": b"notes"}


def test_an_archive_that_cannot_be_read_is_one_line(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.image(repository, "v1", b"no tar")
    assert "the archive is cut" in regfs.fails("ls", f"{registry.host}/{repository}:v1", ".oci/rootfs")


@pytest.mark.logs(r": it is no image; ", r": --rootfs needs an image; ")
def test_a_root_needs_an_image(regfs: Regfs, registry: Registry, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    (regfs.here / "mnt").mkdir()
    assert "no image" in regfs.fails("mount", "--rootfs", f"{registry.host}/{repository}:v1", "mnt")
    assert "name a tag" in regfs.fails("mount", "--rootfs", f"{registry.host}/{repository}", "mnt")


def test_put_does_not_replace_a_packed_directory(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    pack(foreign, repository, PACKED)
    regfs.write("plots", b"a file")
    assert "has a directory plots" in regfs.fails("put", f"{registry.host}/{repository}:v1", "plots")
