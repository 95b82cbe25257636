"""Kinds of manifest: what is in tags that regfs did not make, and registries that take only some."""

from __future__ import annotations

import json
import os

import pytest

from tests.scenarios.foreign import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, TITLE
from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call, digest_of, error
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo
from tests.zoo.profile import Manifests
from tests.zoo.registry import Zoo
from tests.zoo.shapes import only

ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"


def index(entries: list[dict[str, object]]) -> dict[str, object]:
    """An index of entries."""
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}


def files_below(home: Home, name: str) -> dict[str, bytes]:
    """What was written below a directory."""
    top = home.here / name
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_a_build_cache_has_blobs_for_entries(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """containers/image#2210, regclient/regclient#73, moby/buildkit#2251."""
    kinds = ["application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.buildkit.cacheconfig.v0"]
    contents = {memory.blob("a/b", kind.encode()): kind.encode() for kind in kinds}
    entries = [{"mediaType": k, "digest": digest_of(k.encode()), "size": len(k)} for k in kinds]
    memory.put("a/b", "cache", index(entries), OCI_INDEX)
    with zoo() as registry:
        reference = f"{registry.host}/a/b:cache"
        for command in (["ls"], ["ls", "-l"], ["ls", "-R"], ["prefetch"]):
            home(*command, reference)
        home("tag", reference, "copy")
        home("get", reference, "-o", "got")
        assert files_below(home, "got") == contents
        with home.mount(f"{registry.host}/a/b") as where:
            names = [name for _, _, names in os.walk(where / "cache") for name in names]
            assert sorted(names) == sorted(contents)


def test_an_artifact_manifest_has_its_blobs(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """Image specification 1.1-rc2, "artifact manifest"."""
    blobs = [memory.layer("a/b", b"signed", "signature")]
    memory.put("a/b", "v1", {"mediaType": ARTIFACT, "artifactType": "application/x", "blobs": blobs}, ARTIFACT)
    with zoo() as registry:
        assert home("ls", f"{registry.host}/a/b:v1") == "signature\n"
        assert home("get", f"{registry.host}/a/b:v1", "signature", "-o", "-") == "signed"


def _entry(memory: Memory, reference: str, media_type: str, **platform: str) -> dict[str, object]:
    body = memory.manifests["a/b", reference][1]
    entry: dict[str, object] = {"mediaType": media_type, "digest": digest_of(body), "size": len(body)}
    return {**entry, "platform": platform} if platform else entry


def test_an_index_may_have_indexes(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("a/b", "amd64", {"f": b"amd64"})
    amd64 = _entry(memory, "amd64", OCI_MANIFEST, os="linux", architecture="amd64")
    memory.put("a/b", "inner", index([amd64]), OCI_INDEX)
    memory.put("a/b", "outer", index([_entry(memory, "inner", OCI_INDEX)]), OCI_INDEX)
    with zoo() as registry:
        home("get", f"{registry.host}/a/b:outer", "-o", "got")
        assert list(files_below(home, "got").values()) == [b"amd64"]


def test_an_attestation_is_no_platform(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """buildkit's unknown/unknown."""
    memory.artifact("a/b", "amd64", {"f": b"amd64"})
    memory.artifact("a/b", "attestation", {"provenance": b"{}"})
    amd64 = _entry(memory, "amd64", OCI_MANIFEST, os="linux", architecture="amd64")
    attestation = _entry(memory, "attestation", OCI_MANIFEST, os="unknown", architecture="unknown")
    kind = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": str(amd64["digest"])}
    memory.put("a/b", "v1", index([amd64, {**attestation, "annotations": kind}]), OCI_INDEX)
    with zoo() as registry:
        assert home("get", "--platform", "linux-amd64", f"{registry.host}/a/b:v1", "f", "-o", "-") == "amd64"
        home("get", f"{registry.host}/a/b:v1", "-o", "got")
        home("ls", "-R", f"{registry.host}/a/b:v1")


@pytest.mark.parametrize(("title", "name"), [("./a", "a"), ("d//b", "d/b"), ("d/./c", "d/c"), ("e/", "e")])
def test_an_odd_title_is_the_path_that_it_means(home: Home, memory: Memory, zoo: NewZoo, title: str, name: str) -> None:
    """oras-project/oras#1897."""
    memory.artifact("a/b", "v1", {title: b"odd", "plain": b"plain"})
    with zoo() as registry:
        assert home("ls", "-R", f"{registry.host}/a/b:v1").split() == sorted([name, "plain"])
        home("get", f"{registry.host}/a/b:v1", "-o", "got")
        assert files_below(home, "got") == {name: b"odd", "plain": b"plain"}
        with home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
            assert (where / "v1" / name).read_bytes() == b"odd"
            (where / "v1" / name).unlink()
        assert memory.files("a/b", "v1") == {"plain": b"plain"}


@pytest.fixture
def twins(memory: Memory) -> None:
    """A tag with two layers of one title."""
    layers = [memory.layer("a/b", content, title) for title, content in
              (("a", b"first"), ("a", b"second"), ("dir/x", b"x1"), ("dir/x", b"x2"))]  # fmt: skip
    memory.publish("a/b", "v1", layers)


@pytest.mark.usefixtures("twins")
def test_what_was_removed_stays_gone(home: Home, zoo: NewZoo) -> None:
    """oras-project/oras#1897, hpc/charliecloud#1568: the other layer of a title does not come up."""
    with zoo() as registry, home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
        (where / "v1/a").unlink()
        assert not (where / "v1/a").exists()
        (where / "v1/dir/x").unlink()
        assert os.listdir(where / "v1/dir") == []  # the directory stays, in this mount


@pytest.mark.usefixtures("twins")
def test_what_was_moved_leaves_nothing_behind(home: Home, zoo: NewZoo) -> None:
    with zoo() as registry, home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
        (where / "v1/a").rename(where / "v1/b")
        assert (where / "v1/b").read_bytes() == b"first"
        assert not (where / "v1/a").exists()


@pytest.mark.usefixtures("twins")
def test_what_was_written_over_is_one_file(home: Home, memory: Memory, zoo: NewZoo) -> None:
    with zoo() as registry, home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
        (where / "v1/a").write_bytes(b"new")
        assert (where / "v1/a").read_bytes() == b"new"
    titles = [layer["annotations"].get(TITLE) for layer in memory.document("a/b", "v1")["layers"]]
    assert titles.count("a") == 1


def _no_artifact_type(zoo: Zoo, call: Call) -> Answer | None:
    document = json.loads(call.request.body)
    refused = "artifactType" in document or "oci.empty" in str(document.get("config"))
    return error(400, "MANIFEST_INVALID", "unknown config media type") if refused else None


def _no_oci(zoo: Zoo, call: Call) -> Answer | None:
    # quay/quay, endpoints/v2/manifest.py: 415 without FEATURE_GENERAL_OCI_SUPPORT
    wanted = call.request.headers.get("content-type") == DOCKER_MANIFEST
    return None if wanted else error(415, "MANIFEST_INVALID", "manifest schema version not supported")


@pytest.mark.parametrize("refuse", [_no_artifact_type, _no_oci])
def test_a_registry_that_refuses_a_kind_is_given_another(
    home: Home, memory: Memory, zoo: NewZoo, refuse: object
) -> None:
    with zoo(only(manifests=Manifests(refuse=refuse))) as registry:  # type: ignore[arg-type]
        home.write("f", b"content")
        home("put", f"{registry.host}/a/b:v1", "f")
        assert memory.files("a/b", "v1") == {"f": b"content"}
        with home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
            (where / "v1/g").write_bytes(b"more")
        assert memory.files("a/b", "v1") == {"f": b"content", "g": b"more"}
