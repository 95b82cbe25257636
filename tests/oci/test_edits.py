"""Edits of manifests: what they change, and that nothing else is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from regfs.oci import edits
from regfs.oci import manifest as manifests
from regfs.oci.edits import Change, NewBytes, Path
from regfs.oci.manifest import CREATED, MODEL_PATHS, TITLE, Descriptor, Manifest

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
NOW = "2026-01-01T00:00:00Z"
ORAS_DIGEST = "io.deis.oras.content.digest"
STRANGE: dict[str, Any] = {
    "artifactType": "application/x.kind",
    "platform": {"os": "linux", "architecture": "arm64", "variant": "v8", "os.version": "1.2", "os.features": ["x"]},
    "x-foreign": {"deep": [1, None]},
}
OF_THE_BYTES = {"urls": ["http://localhost/x"], "data": "YQ=="}


def layer(title: str, digest: str = A, **fields: Any) -> dict[str, Any]:
    """A layer as another program wrote it."""
    annotations = {TITLE: title, "org.example.x": "1"}
    return {"mediaType": "application/x.own", "digest": digest, "size": 1, "annotations": annotations, **fields}


def edited(layers: list[dict[str, Any]], changes: dict[Path, Change]) -> list[dict[str, Any]]:
    """The layers of a manifest after some changes."""
    document = {"schemaVersion": 2, "mediaType": manifests.OCI_MANIFEST, "layers": layers}
    old = manifests.parse(json.dumps(document).encode())
    assert isinstance(old, Manifest)
    present = {((item.title or item.digest),): item for item in reversed(old.layers)}  # the first of a title has it
    content = edits.edited(old, present, changes, NOW)
    found: list[dict[str, Any]] = layers if content is None else json.loads(content)["layers"]
    return found


def parsed(document: dict[str, Any]) -> Descriptor:
    """A descriptor from its document."""
    found = manifests.descriptor(document)
    assert found is not None
    return found


@pytest.mark.parametrize("fields", [{}, STRANGE, OF_THE_BYTES, {**STRANGE, **OF_THE_BYTES}])
def test_a_descriptor_is_written_as_it_was_read(fields: dict[str, Any]) -> None:
    assert parsed(layer("a", **fields)).to_json() == layer("a", **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"annotations": {TITLE: "a", "number": 7, "none": None}},
        {"annotations": ["a"]},
        {"annotations": {"number": 7}},
        {"platform": {"os": "linux"}},
        {"platform": "linux"},
        {"platform": {"os": "linux", "architecture": "arm", "variant": 7}},
    ],
)
def test_what_is_not_as_specified_is_written_as_it_was_read(fields: dict[str, Any]) -> None:
    assert parsed({**layer("a"), **fields}).to_json() == {**layer("a"), **fields}


def test_descriptors_that_differ_in_an_unknown_field_are_two() -> None:
    assert parsed(layer("a", x=1)) != parsed(layer("a", x=2))
    assert hash(parsed(layer("a", x=[1]))) == hash(parsed(layer("a", x=[2])))


def test_new_bytes_keep_what_the_layer_says_besides() -> None:
    old = layer("a", **STRANGE, **OF_THE_BYTES)
    (new,) = edited([old], {("a",): NewBytes(B, 7, NOW)})
    annotations = {**old["annotations"], CREATED: NOW}
    assert new == {**layer("a", B, **STRANGE), "size": 7, "annotations": annotations}


def test_the_same_bytes_keep_where_they_are() -> None:
    (new,) = edited([layer("a", **OF_THE_BYTES)], {("a",): NewBytes(A, 1, NOW)})
    assert {name: new[name] for name in OF_THE_BYTES} == OF_THE_BYTES


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("application/x.own", "application/x.own"),
        ("text/plain", "text/plain"),
        ("application/octet-stream", "application/json"),
        (None, "application/json"),
    ],
)
def test_a_media_type_that_says_something_stays(stated: str | None, expected: str) -> None:
    old = layer("a.json")
    old = {**old, "mediaType": stated} if stated else {k: v for k, v in old.items() if k != "mediaType"}
    (new,) = edited([old], {("a.json",): NewBytes(B, 7, NOW)})
    assert new["mediaType"] == expected


def test_a_new_file_has_the_media_type_of_its_name() -> None:
    (_, new) = edited([layer("a")], {("b.json",): NewBytes(B, 7, NOW)})
    annotations = {CREATED: NOW, TITLE: "b.json"}
    assert new == {"mediaType": "application/json", "digest": B, "size": 7, "annotations": annotations}


def test_a_moved_layer_keeps_everything_but_its_title() -> None:
    old = layer("a", **STRANGE, **OF_THE_BYTES)
    (other, new) = edited([old, layer("o", B)], {("b",): parsed(old), ("a",): None})
    assert other == layer("o", B)
    assert new == {**old, "annotations": {**old["annotations"], TITLE: "b"}}


def test_a_layer_that_is_moved_over_another_takes_nothing_from_it() -> None:
    old = layer("a", x=1)
    (new,) = edited([old, layer("b", B, **STRANGE, **OF_THE_BYTES)], {("b",): parsed(old), ("a",): None})
    assert new == {**old, "annotations": {**old["annotations"], TITLE: "b"}}


def test_a_layer_with_another_time_keeps_everything_else() -> None:
    old = layer("a", **STRANGE, **OF_THE_BYTES)
    touched = {**old, "annotations": {**old["annotations"], CREATED: NOW}}
    assert edited([old], {("a",): parsed(touched)}) == [touched]


def test_a_layer_that_goes_by_its_digest_keeps_a_title_that_nobody_can_use() -> None:
    old = layer("../a")
    document = {"schemaVersion": 2, "mediaType": manifests.OCI_MANIFEST, "layers": [old]}
    manifest = manifests.parse(json.dumps(document).encode())
    assert isinstance(manifest, Manifest)
    touched = {**old, "annotations": {**old["annotations"], CREATED: NOW}}
    content = edits.edited(manifest, {(A,): manifest.layers[0]}, {(A,): parsed(touched)}, NOW)
    assert content is not None
    assert json.loads(content)["layers"] == [touched]


def test_a_layer_that_is_named_by_its_digest_has_no_title() -> None:
    (new,) = edited([layer("a")], {(A,): parsed(layer("a")), ("a",): None})
    assert new["annotations"] == {"org.example.x": "1"}


def test_what_changes_nothing_makes_no_manifest() -> None:
    assert edited([layer("a")], {("a",): parsed(layer("a")), ("b",): None}) == [layer("a")]


def test_new_bytes_lose_the_digest_that_oras_noted_of_the_old_ones() -> None:
    noted = {"annotations": {TITLE: "a", ORAS_DIGEST: C, "kept": "yes"}}
    (new,) = edited([{**layer("a"), **noted}], {("a",): NewBytes(B, 7, NOW)})
    assert new["annotations"] == {TITLE: "a", "kept": "yes", CREATED: NOW}


def test_the_same_bytes_keep_the_digest_that_oras_noted() -> None:
    noted = {"annotations": {TITLE: "a", ORAS_DIGEST: C}}
    (new,) = edited([{**layer("a"), **noted}], {("a",): NewBytes(A, 1, NOW)})
    assert new["annotations"] == {TITLE: "a", ORAS_DIGEST: C, CREATED: NOW}


@pytest.mark.parametrize("other", [layer("a", C), layer("a", x=1), layer("a")])
@pytest.mark.parametrize("change", [NewBytes(B, 7, NOW), None, parsed(layer("a", B))])
def test_all_layers_of_a_title_go_when_its_file_changes(other: dict[str, Any], change: Change) -> None:
    found = edited([layer("a"), layer("b", C), other], {("a",): change})
    assert [item["digest"] for item in found] == ([C] if change is None else [B, C])


def test_the_blobs_of_an_artifact_manifest_are_edited_as_layers() -> None:
    document = {"mediaType": manifests.OCI_ARTIFACT, "artifactType": "application/x", "blobs": [layer("a")]}
    old = manifests.parse(json.dumps(document).encode())
    assert isinstance(old, Manifest)
    content = edits.edited(old, {("a",): old.layers[0]}, {("a",): None, ("b",): NewBytes(B, 7, NOW)}, NOW)
    assert content is not None
    assert [item["annotations"][TITLE] for item in json.loads(content)["blobs"]] == ["b"]
    assert "layers" not in json.loads(content)


def test_a_file_of_a_packed_model_keeps_its_path_as_a_title() -> None:
    model = {**layer("a"), "annotations": {MODEL_PATHS[0]: "a"}}
    assert edited([model], {("a",): None}) == []
    (new,) = edited([model], {("b",): parsed(model), ("a",): None})
    assert new["annotations"] == {MODEL_PATHS[0]: "b", TITLE: "b"}
