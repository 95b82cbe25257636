"""Directories that oras and oras-py packed: directories of the tag, read-only, that go as a whole."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import subprocess
from pathlib import Path

import oras.client
import pytest

from tests.archive.making import directory, file, symlink, tar
from tests.registries import Registry
from tests.scenarios.foreign import TAR_GZIP, TITLE, Foreign
from tests.scenarios.making import NewView
from tests.scenarios.views import Mounted, refused

PACKED = tar(
    directory("plots"), file("plots/may.png", b"may"), directory("plots/old"), file("plots/old/x", b"x", mode=0o755)
)


@pytest.fixture
def packed(foreign: Foreign, repository: str) -> str:
    """A repository with a tag ``v1`` of the file ``notes`` and the directory ``plots``, as oras pushes them."""
    layer = foreign.layer(repository, gzip.compress(PACKED, mtime=0), "plots", mediaType=TAR_GZIP)
    layer["annotations"]["io.deis.oras.content.unpack"] = "true"
    foreign.publish(repository, "v1", [layer, foreign.layer(repository, b"notes", "notes")])
    return repository


def test_a_directory_that_oras_packed_is_one(new_mount: NewView, registry: Registry, packed: str) -> None:
    view = new_mount(f"{registry.url}/{packed}:v1")
    assert isinstance(view, Mounted)
    assert (view.list(), view.list("plots")) == (["notes", "plots"], ["may.png", "old"])
    assert view.read_bytes("plots/old/x") == b"x"
    assert view.stat("plots/old/x").mode == 0o755
    assert view.xattrs("plots")["user.regfs.media_type"] == TAR_GZIP


def test_what_oras_py_packed_is_the_directory_that_it_was(
    new_mount: NewView, registry: Registry, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in/plots/old").mkdir(parents=True)
    (tmp_path / "in/plots/may.png").write_bytes(b"may")
    (tmp_path / "in/plots/old/run").write_bytes(b"run")
    monkeypatch.chdir(tmp_path / "in")
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    client.push(f"{registry.host}/{repository}:v1", files=["plots"], quiet=True)
    view = new_mount(f"{registry.url}/{repository}:v1")
    assert isinstance(view, Mounted)
    subprocess.run(["diff", "-r", tmp_path / "in", view.directory], check=True)


@pytest.mark.logs(r"read-only$")
def test_a_packed_directory_is_read_only(new_mount: NewView, registry: Registry, packed: str) -> None:
    view = new_mount(f"{registry.url}/{packed}:v1")
    changes = [
        lambda: view.write_bytes("plots/may.png", b"x"),
        lambda: view.write_bytes("plots/new", b"x"),
        lambda: view.remove("plots/may.png"),
        lambda: view.mkdir("plots/d"),
        lambda: view.rmdir("plots/old"),
        lambda: view.rename("plots", "plots2"),
    ]
    for change in changes:
        with refused(errno.EROFS):
            change()
    with refused(errno.ENOTEMPTY):
        view.rmdir("plots")


def test_writing_beside_a_packed_directory_keeps_it(
    new_mount: NewView, registry: Registry, foreign: Foreign, packed: str
) -> None:
    before = foreign.document(packed, "v1")["layers"][0]
    view = new_mount(f"{registry.url}/{packed}:v1")
    view.write_bytes("notes", b"other notes")
    view.write_bytes("new", b"new")
    view.remove("notes")
    assert foreign.document(packed, "v1")["layers"][0] == before
    assert (view.list(), view.read_bytes("plots/may.png")) == (["new", "plots"], b"may")


def test_rm_r_of_a_packed_directory_removes_its_layer(
    new_mount: NewView, registry: Registry, foreign: Foreign, packed: str
) -> None:
    view = new_mount(f"{registry.url}/{packed}:v1")
    assert isinstance(view, Mounted)
    subprocess.run(["rm", "-r", view.path("plots")], check=True)
    assert view.list() == ["notes"]
    assert [layer["annotations"][TITLE] for layer in foreign.document(packed, "v1")["layers"]] == ["notes"]


@pytest.mark.logs(r"^list /plots: .* outside of it$|^stat /plots")
def test_a_packed_directory_with_other_entries_is_an_error(
    new_mount: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    blob = gzip.compress(tar(file("plots/a", b"a"), file("etc/passwd", b"x")))
    layer = foreign.layer(repository, blob, "plots", mediaType=TAR_GZIP)
    layer["annotations"]["io.deis.oras.content.unpack"] = "true"
    foreign.publish(repository, "v1", [layer])
    view = new_mount(f"{registry.url}/{repository}:v1")
    with refused(errno.EIO):
        view.list("plots")


def test_a_copy_of_a_packed_directory_is_files(
    new_mount: NewView, registry: Registry, foreign: Foreign, packed: str, tmp_path: Path
) -> None:
    view = new_mount(f"{registry.url}/{packed}:v1")
    assert isinstance(view, Mounted)
    shutil.copytree(view.path("plots"), view.path("copy"), copy_function=shutil.copyfile)
    files = foreign.files(packed, "v1")
    assert (files["copy/may.png"], files["copy/old/x"]) == (b"may", b"x")


def test_a_model_has_the_mode_and_time_that_its_packer_wrote(
    new_mount: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    metadata = '{"name": "run.py", "mode": 493, "mtime": "2024-05-06T07:08:09Z"}'
    annotations = {"org.cncf.model.filepath": "run.py", "org.cncf.model.file.metadata+json": metadata}
    raw = foreign.layer(repository, b"run", mediaType="application/vnd.cncf.model.code.v1.raw", annotations=annotations)
    packed = foreign.layer(repository, PACKED, mediaType="application/vnd.cncf.model.dataset.v1.tar")
    packed["annotations"] = {"org.cncf.model.filepath": "plots"}
    foreign.publish(repository, "v1", [raw, packed])
    view = new_mount(f"{registry.url}/{repository}:v1")
    assert view.list() == ["run.py", packed["digest"]]
    found = view.stat("run.py")
    assert (found.mode, found.mtime_ns // 10**9) == (0o755, 1714979289)
    assert view.list(f".oci/unpacked/{packed['digest']}/plots") == ["may.png", "old"]


def test_links_in_a_packed_directory_are_links(
    new_mount: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    blob = gzip.compress(tar(file("d/a", b"a"), symlink("d/b", "a")))
    layer = foreign.layer(repository, blob, "d", mediaType=TAR_GZIP)
    layer["annotations"]["io.deis.oras.content.unpack"] = "true"
    foreign.publish(repository, "v1", [layer])
    view = new_mount(f"{registry.url}/{repository}:v1")
    assert isinstance(view, Mounted)
    assert (os.readlink(view.path("d/b")), view.read_bytes("d/b")) == ("a", b"a")


@pytest.mark.logs(r"^rename /sub to /other: a directory that is one layer cannot be renamed")
def test_a_directory_above_a_packed_one_cannot_be_renamed(
    new_mount: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    blob = gzip.compress(tar(file("sub/d/a", b"a")))
    layer = foreign.layer(repository, blob, "sub/d", mediaType=TAR_GZIP)
    layer["annotations"]["io.deis.oras.content.unpack"] = "true"
    foreign.publish(repository, "v1", [layer])
    view = new_mount(f"{registry.url}/{repository}:v1")
    with refused(errno.EROFS):
        view.rename("sub", "other")
    assert view.read_bytes("sub/d/a") == b"a"
