"""Nothing of a descriptor is lost, its data serves, and foreign layers are somebody else's."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from tests.scenarios.foreign import TITLE, digest_of
from tests.zoo.backends import Memory
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo

FOREIGN = {
    "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "digest": digest_of(b"far away"),
    "size": 8,
    "urls": ["https://example.com/far-away"],
    "artifactType": "application/x",
    "platform": {"os": "linux", "architecture": "arm64"},
    "unknown": {"of": ["tomorrow"]},
    "annotations": {TITLE: "base", "kept": "yes"},
}


def _moved(where: Path) -> tuple[str, str]:
    os.rename(where / "v1/base", where / "v1/renamed")
    return "v1", "renamed"


def _touched(where: Path) -> tuple[str, str]:
    os.utime(where / "v1/base", (1_700_000_000, 1_700_000_000))
    return "v1", "base"


def _across(where: Path) -> tuple[str, str]:
    os.rename(where / "v1/base", where / "v2/base")
    return "v2", "base"


def _beside(where: Path) -> tuple[str, str]:
    (where / "v1/other").write_bytes(b"other")
    return "v1", "base"


@pytest.mark.parametrize("change", [_moved, _touched, _across, _beside])
def test_every_field_survives(home: Home, memory: Memory, zoo: NewZoo, change: object) -> None:
    """oras-project/oras-go#319, openshift/oc#530: such bytes are where urls say, and nowhere else."""
    memory.publish("a/b", "v1", [FOREIGN])
    memory.publish("a/b", "v2", [])
    with zoo() as registry, home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
        assert callable(change)
        tag, title = change(where)
    layers = [layer for layer in memory.document("a/b", tag)["layers"] if layer["annotations"][TITLE] == title]
    assert layers == [{**FOREIGN, "annotations": {TITLE: title, "kept": "yes"}}]


def test_writing_over_a_file_keeps_its_type_and_annotations(home: Home, memory: Memory, zoo: NewZoo) -> None:
    layer = memory.layer("a/b", b"old", None, mediaType="application/vnd.x", annotations={TITLE: "f", "kept": "yes"})
    memory.publish("a/b", "v1", [{**layer, "data": base64.b64encode(b"old").decode()}])
    with zoo() as registry:
        with home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
            (where / "v1/f").write_bytes(b"new")
        (now,) = memory.document("a/b", "v1")["layers"]
        assert (now["mediaType"], now["annotations"]) == ("application/vnd.x", {TITLE: "f", "kept": "yes"})
        assert "data" not in now


def _with_data(content: bytes, digest: str, size: int) -> dict[str, object]:
    data = base64.b64encode(content).decode()
    return {
        "mediaType": "application/json", "digest": digest, "size": size, "data": data, "annotations": {TITLE: "doc"}
    }  # fmt: skip


def test_data_is_served_without_a_request(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """modelpack/model-spec#58; image specification, "Descriptors": the blob need not be there."""
    content = b'{"small": "document"}'
    memory.publish("a/b", "v1", [_with_data(content, digest_of(content), len(content))])
    with zoo() as registry:
        assert home("get", f"{registry.host}/a/b:v1", "doc", "-o", "-") == content.decode()
        with home.mount(f"{registry.host}/a/b") as where:
            assert (where / "v1/doc").read_bytes() == content
        assert registry.statuses("blob") == []


@pytest.mark.parametrize(("digest", "size"), [(digest_of(b"x"), 1), (digest_of(b"x"), 4), (digest_of(b"data"), 5)])
def test_wrong_data_is_never_served(home: Home, memory: Memory, zoo: NewZoo, digest: str, size: int) -> None:
    memory.publish("a/b", "v1", [_with_data(b"data", digest, size)])
    with zoo() as registry:
        done = home.run("get", f"{registry.host}/a/b:v1", "doc", "-o", "-")
        assert (done.status, done.output) == (1, ""), done


def test_a_foreign_layer_is_one_line_and_the_others_go_on(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """openshift/oc#530: nothing is asked of another host unless that is allowed."""
    memory.publish("a/b", "v1", [FOREIGN, memory.layer("a/b", b"here", "near")])
    with zoo() as registry:
        done = home.run("get", f"{registry.host}/a/b:v1", "-o", "got")
        assert (done.status, len(done.error.splitlines())) == (1, 1), done
        assert "example.com" in done.error
        assert (home.here / "got/near").read_bytes() == b"here"


def test_a_model_packed_by_others_has_its_files_names(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """modelpack/model-spec#58, podman-container-tools/container-libs#498: org.cncf.model.filepath."""
    names = ["config.json", "weights/model-00001.safetensors"]
    paths = [{"annotations": {"org.cncf.model.filepath": name}} for name in names]
    memory.publish("a/b", "v1", [memory.layer("a/b", b"%d" % i, None, **more) for i, more in enumerate(paths)])
    with zoo() as registry:
        assert home("ls", "-R", f"{registry.host}/a/b:v1").split() == names
