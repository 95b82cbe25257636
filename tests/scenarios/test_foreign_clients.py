"""Other programs and the mount agree, both ways: skopeo, oras, and regfs's own client."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import oras.client
import pytest

from regfs import DXF
from tests.registries import Registry
from tests.scenarios.foreign import CREATED, DOCKER_MANIFEST, Foreign, digest_of
from tests.scenarios.views import Mounted, View, eventually


def skopeo(*arguments: str) -> str:
    """Run skopeo against registries of plain HTTP."""
    done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def image(tmp_path: Path) -> tuple[Path, list[bytes]]:
    """A container image of two layers, as a directory that skopeo reads; and the layers."""
    directory = tmp_path / "image"
    directory.mkdir()
    layers = [_layer("etc/one", b"1"), _layer("etc/two", b"2" * 100_000)]
    diffs = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    rootfs = {"type": "layers", "diff_ids": diffs}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    media_type = "application/vnd.docker.image.rootfs.diff.tar"
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {**_described(config), "mediaType": "application/vnd.docker.container.image.v1+json"},
        "layers": [{**_described(layer), "mediaType": media_type} for layer in layers],
    }
    for content in (config, *layers):
        (directory / digest_of(content).partition(":")[2]).write_bytes(content)
    (directory / "manifest.json").write_text(json.dumps(manifest))
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    return directory, layers


def _layer(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _described(content: bytes) -> dict[str, Any]:
    return {"digest": digest_of(content), "size": len(content)}


def test_an_image_that_skopeo_pushed_is_browsed_by_digest(
    view: View, registry: Registry, repository: str, image: tuple[Path, list[bytes]]
) -> None:
    directory, layers = image
    target = f"docker://{registry.host}/{repository}:v1"
    skopeo("copy", "--dest-tls-verify=false", "--format=v2s2", f"dir:{directory}", target)
    inspected = json.loads(skopeo("inspect", "--tls-verify=false", target))
    assert view.list(f"{repository}/v1") == sorted(inspected["Layers"])
    for digest in inspected["Layers"]:
        assert digest_of(view.read_bytes(f"{repository}/v1/{digest}")) == digest
    manifest = view.read_bytes(f"{repository}/v1/.oci/manifest.json")
    assert digest_of(manifest) == inspected["Digest"] == view.xattrs(f"{repository}/v1")["user.regfs.digest"]
    assert manifest.decode() == skopeo("inspect", "--raw", "--tls-verify=false", target)
    assert view.read_bytes(f"{repository}/v1/.oci/config.json").decode() == skopeo(
        "inspect", "--config", "--raw", "--tls-verify=false", target
    )
    unpacked = [gzip.decompress(view.read_bytes(f"{repository}/v1/{digest}")) for digest in inspected["Layers"]]
    assert unpacked == layers


def test_what_was_copied_in_is_copied_by_skopeo(
    view: View, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    view.makedirs(f"{repository}/v1")
    view.write_bytes(f"{repository}/v1/a", b"content")
    source, target = f"docker://{registry.host}/{repository}:v1", f"oci:{tmp_path}/copy:v1"
    skopeo("copy", "--src-tls-verify=false", source, target)
    blob = tmp_path / "copy" / "blobs" / "sha256" / digest_of(b"content").partition(":")[2]
    assert blob.read_bytes() == b"content"
    back = f"docker://{registry.host}/{repository}:v2"
    skopeo("copy", "--dest-tls-verify=false", target, back)
    eventually(lambda: view.read_bytes(f"{repository}/v2/a"), b"content")


def test_oras_pulls_what_was_copied_in(view: View, registry: Registry, repository: str, tmp_path: Path) -> None:
    view.makedirs(f"{repository}/v1")
    files = {"a.txt": b"text", "empty": b"", "sub/below/b.bin": os.urandom(1 << 20)}
    for name, content in files.items():
        if "/" in name:
            view.makedirs(f"{repository}/v1/{os.path.dirname(name)}")
        view.write_bytes(f"{repository}/v1/{name}", content)
    pulled = _oras(registry).pull(f"{registry.host}/{repository}:v1", outdir=str(tmp_path))
    assert {os.path.relpath(path, tmp_path): Path(path).read_bytes() for path in pulled} == files


def test_what_oras_pushed_is_seen_under_its_names(
    view: View, registry: Registry, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_bytes(b"text")
    (tmp_path / "sub" / "b.bin").write_bytes(bytes(100_000))
    response = _oras(registry).push(
        f"{registry.host}/{repository}:v1",
        files=["a.txt:text/plain", "sub/b.bin"],
        manifest_annotations={CREATED: "2015-05-11T00:00:00Z"},
    )
    response.close()
    assert view.list(f"{repository}/v1") == ["a.txt", "b.bin"]
    assert view.read_bytes(f"{repository}/v1/a.txt") == b"text"
    assert view.read_bytes(f"{repository}/v1/b.bin") == bytes(100_000)
    assert view.xattrs(f"{repository}/v1/a.txt")["user.regfs.media_type"] == "text/plain"
    assert view.stat(f"{repository}/v1/a.txt").mtime_ns // 10**9 == 1_431_302_400


def _oras(registry: Registry) -> oras.client.OrasClient:
    return oras.client.OrasClient(hostname=registry.host, insecure=True)


def test_the_client_reads_what_was_copied_in(view: View, registry: Registry, repository: str) -> None:
    view.makedirs(f"{repository}/v1")
    for name in ("a", "b"):
        view.write_bytes(f"{repository}/v1/{name}", name.encode())
    with DXF(registry.host, repository, insecure=True) as client:
        assert client.get_alias("v1") == [digest_of(b"a"), digest_of(b"b")]
        assert b"".join(client.pull_blob(digest_of(b"b"))) == b"b"
        assert client.list_aliases() == ["v1"]


def test_what_the_client_pushed_is_read_by_digest(
    view: View, registry: Registry, repository: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"pushed")
    with DXF(registry.host, repository, insecure=True) as client:
        digest = client.push_blob(str(tmp_path / "file"))
        client.set_alias("v1", digest)
    assert view.list(f"{repository}/v1") == [digest]
    assert view.read_bytes(f"{repository}/v1/{digest}") == b"pushed"


def test_cp_into_an_alias_that_the_client_made_keeps_its_blobs(
    mounted: Mounted, registry: Registry, repository: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"pushed")
    with DXF(registry.host, repository, insecure=True) as client:
        digest = client.push_blob(str(tmp_path / "file"))
        client.set_alias("v1", digest)
        subprocess.run(["cp", tmp_path / "file", mounted.path(f"{repository}/v1/named")], check=True)
        (tmp_path / "other").write_bytes(b"other")
        subprocess.run(["cp", tmp_path / "other", mounted.path(f"{repository}/v1/other")], check=True)
        assert client.get_alias("v1") == [digest, digest, digest_of(b"other")]
        assert client.get_digest("v1") == digest
