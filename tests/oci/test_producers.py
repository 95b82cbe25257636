"""How the layers of each producer are named, and in which form they are shown."""

from __future__ import annotations

import json

import pytest

from regfs.oci.manifest import DOCKER_CONFIG, OCI_MANIFEST, Manifest, digest_of, parse
from regfs.oci.producers import Form, file_metadata, named
from regfs.oci.titles import files_of

TITLE = "org.opencontainers.image.title"
PATH, OLD_PATH = "org.cncf.model.filepath", "org.cnai.model.filepath"
UNPACK = {"io.deis.oras.content.unpack": "true"}
TAR_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
ORAS_PY = "application/vnd.unknown.config.v1+json"
Layer = tuple[str, dict[str, str]]


def manifest_of(*layers: Layer, config: str = EMPTY) -> Manifest:
    """A manifest of layers, each of a type and annotations; their digests differ."""

    def descriptor(content: str, media_type: str, annotations: dict[str, str]) -> dict[str, object]:
        digest = digest_of(content.encode())
        return {"mediaType": media_type, "digest": digest, "size": 1, "annotations": annotations}

    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("config", config, {}),
        "layers": [descriptor(str(number), *layer) for number, layer in enumerate(layers)],
    }
    found = parse(json.dumps(document).encode())
    assert isinstance(found, Manifest)
    return found


@pytest.mark.parametrize(
    ("layer", "config", "title", "form"),
    [
        ((TAR_GZIP, {TITLE: "plots", **UNPACK}), EMPTY, "plots", Form.DIRECTORY),
        ((TAR_GZIP, {TITLE: "a/plots/", **UNPACK}), EMPTY, "a/plots", Form.DIRECTORY),
        ((TAR_GZIP, {TITLE: "plots"}), ORAS_PY, "plots", Form.DIRECTORY),
        ((TAR_GZIP, {TITLE: "plots"}), EMPTY, "plots", Form.FILE),
        ((TAR_GZIP, {TITLE: "plots.tar.gz"}), ORAS_PY, "plots.tar.gz", Form.FILE),
        ((TAR_GZIP, {TITLE: "jq--1.7.bottle.tar.gz"}), DOCKER_CONFIG, "jq--1.7.bottle.tar.gz", Form.FILE),
        ((TAR_GZIP, UNPACK), EMPTY, None, Form.FILE),
        ((TAR_GZIP, {}), DOCKER_CONFIG, None, Form.FILE),
        (("application/wasm", {TITLE: "filter.wasm"}), EMPTY, "filter.wasm", Form.FILE),
        (("application/vnd.cncf.model.weight.v1.raw", {PATH: "w/m.gguf"}), EMPTY, "w/m.gguf", Form.FILE),
        (("application/vnd.cnai.model.weight.v1.raw", {OLD_PATH: "m.gguf"}), EMPTY, "m.gguf", Form.FILE),
        (("application/vnd.cncf.model.weight.v1.tar", {PATH: "m.gguf"}), EMPTY, None, Form.FILE),
        (("application/vnd.cncf.model.weight.v1.tar+zstd", {PATH: "m.gguf"}), EMPTY, None, Form.FILE),
        (("application/vnd.kitops.modelkit.model.v1.tar+gzip", {}), EMPTY, None, Form.FILE),
        (("application/vnd.docker.ai.model.file", {PATH: "a/b.json"}), EMPTY, "a/b.json", Form.FILE),
        (("application/vnd.docker.ai.gguf.v3", {}), EMPTY, "model.gguf", Form.FILE),
        (("application/vnd.docker.ai.license", {}), EMPTY, "LICENSE", Form.FILE),
        (("application/vnd.cncf.helm.chart.content.v1.tar+gzip", {}), EMPTY, None, Form.FILE),
        (("application/vnd.cncf.flux.content.v1.tar+gzip", {}), EMPTY, None, Form.FILE),
    ],
)
def test_a_layer_has_the_name_that_its_producer_means(layer: Layer, config: str, title: str | None, form: Form) -> None:
    (found,) = named(manifest_of(layer, config=config))
    assert (found.title, found.form) == (title, form)


def test_layers_named_by_their_type_get_numbers() -> None:
    gguf = ("application/vnd.docker.ai.gguf.v3", {})
    found = named(manifest_of(gguf, gguf, ("application/vnd.docker.ai.license", {})))
    assert [item.title for item in found] == ["model-00001-of-00002.gguf", "model-00002-of-00002.gguf", "LICENSE"]


@pytest.mark.parametrize("title", ["../up", "/root", ".oci/x", ".", "a/../b"])
def test_a_hostile_directory_goes_by_its_digest(title: str) -> None:
    manifest = manifest_of((TAR_GZIP, {TITLE: title, **UNPACK}))
    files = files_of(manifest)
    assert set(files.blobs) == {(manifest.layers[0].digest,)}
    assert files.packed == set()


@pytest.mark.parametrize(
    ("text", "mode", "mtime"),
    [
        ('{"mode": 33261, "mtime": "2024-05-06T07:08:09Z"}', 0o755, "2024-05-06T07:08:09Z"),
        ('{"mode": 2541}', 0o755, None),
        ('{"mode": true, "mtime": 5}', None, None),
        ("[]", None, None),
        ("{", None, None),
        ("[" * 9000, None, None),
    ],
)
def test_the_metadata_of_a_model_say_mode_and_time(text: str, mode: int | None, mtime: str | None) -> None:
    manifest = manifest_of(("application/vnd.cncf.model.doc.v1.raw", {"org.cncf.model.file.metadata+json": text}))
    found = file_metadata(manifest.layers[0])
    assert (found.mode, found.mtime) == (mode, mtime)
