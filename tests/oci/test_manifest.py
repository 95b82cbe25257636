"""Manifests: what is parsed, what is left out, and that an edit keeps what it does not own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regfs.exceptions import DXFUnsupportedSchemaType
from regfs.oci import manifest as manifests
from regfs.oci.manifest import Descriptor, Index, InvalidManifest, Manifest, Platform

A, B, C = (manifests.digest_of(content) for content in (b"a", b"b", b"c"))
SIXTY_FOUR = "0" * 64

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
media_types = st.sampled_from([*sorted(manifests.MANIFESTS | manifests.INDEXES), manifests.SCHEMA1, "x/y"])
digests = st.sampled_from([A, B, C, "sha256:", "sha256:" + SIXTY_FOUR, f"sha1:{SIXTY_FOUR}", ""])
items = json_values | st.fixed_dictionaries(
    {"digest": digests | json_values, "size": st.integers() | json_values},
    optional={
        "mediaType": st.text() | json_values,
        "annotations": st.dictionaries(st.text(), st.text()) | json_values,
        "platform": st.fixed_dictionaries({"os": st.text() | json_values, "architecture": st.text()}) | json_values,
        "x-foreign": json_values,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": st.sampled_from([1, 2]) | json_values,
        "mediaType": media_types | json_values,
        "config": items,
        "layers": st.lists(items, max_size=4) | json_values,
        "manifests": st.lists(items, max_size=4) | json_values,
        "annotations": json_values,
        "artifactType": json_values,
        "x-foreign": json_values,
    },
)


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def layer(digest: str, title: str | None = None, **extra: Any) -> dict[str, Any]:
    annotations = {"annotations": {manifests.TITLE: title}} if title else {}
    return {"mediaType": manifests.BLOB_MEDIA_TYPE, "digest": digest, "size": 1, **annotations, **extra}


def layers_of(content: bytes) -> list[Descriptor]:
    parsed = manifests.parse(content)
    assert isinstance(parsed, Manifest)
    return list(parsed.layers)


def with_layers(*layers: object, **fields: object) -> bytes:
    return encoded({"schemaVersion": 2, "mediaType": manifests.OCI_MANIFEST, "layers": list(layers), **fields})


# Parsing


@pytest.mark.parametrize("media_type", sorted(manifests.MANIFESTS))
def test_a_manifest_states_its_own_type(media_type: str) -> None:
    content = encoded({"schemaVersion": 2, "mediaType": media_type, "layers": []})
    assert manifests.parse(content, manifests.OCI_INDEX).media_type == media_type


@pytest.mark.parametrize("media_type", sorted(manifests.INDEXES))
def test_an_index_states_its_own_type(media_type: str) -> None:
    content = encoded({"schemaVersion": 2, "mediaType": media_type, "manifests": []})
    assert isinstance(manifests.parse(content), Index)


def test_the_content_type_decides_where_the_document_states_no_type() -> None:
    content = encoded({"schemaVersion": 2, "layers": []})
    assert manifests.parse(content, manifests.DOCKER_MANIFEST + "; charset=utf-8").media_type == (
        manifests.DOCKER_MANIFEST
    )


@pytest.mark.parametrize(
    ("fields", "media_type"),
    [
        ({"layers": []}, manifests.OCI_MANIFEST),
        ({"config": {}}, manifests.OCI_MANIFEST),
        ({"manifests": []}, manifests.OCI_INDEX),
    ],
)
def test_the_fields_decide_where_nothing_states_a_type(fields: dict[str, Any], media_type: str) -> None:
    assert manifests.kind({"schemaVersion": 2, **fields}, "application/json") == media_type


@pytest.mark.parametrize("stated", ["x/y", "", 3, [], {}])
def test_an_unknown_type_is_refused_with_its_name(stated: object) -> None:
    with pytest.raises(DXFUnsupportedSchemaType) as caught:
        manifests.parse(encoded({"schemaVersion": 2, "mediaType": stated, "layers": []}))
    assert caught.value.schema_type == stated


def test_schema_1_is_not_parsed_here() -> None:
    with pytest.raises(DXFUnsupportedSchemaType):
        manifests.parse(encoded({"schemaVersion": 1, "fsLayers": []}))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_json_object_is_no_manifest(content: bytes) -> None:
    with pytest.raises(InvalidManifest):
        manifests.parse(content)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "text",
        {"digest": A},
        {"size": 1},
        {"digest": "sha256:short", "size": 1},
        {"digest": f"sha256:../../{SIXTY_FOUR}", "size": 1},
        {"digest": A, "size": -1},
        {"digest": A, "size": True},
        {"digest": A, "size": 1.5},
        {"digest": A, "size": 2**63},
    ],
)
def test_an_insane_layer_is_left_out_and_the_good_one_beside_it_stays(bad: object) -> None:
    assert [found.digest for found in layers_of(with_layers(bad, layer(B)))] == [B]


@pytest.mark.parametrize("layers", [None, {}, "x", 3])
def test_layers_that_are_no_list_are_none(layers: object) -> None:
    content = encoded({"schemaVersion": 2, "mediaType": manifests.OCI_MANIFEST, "layers": layers})
    assert layers_of(content) == []


def test_annotations_that_are_no_strings_are_left_out() -> None:
    (found,) = layers_of(with_layers(layer(A, annotations={manifests.TITLE: "a", "b": 3, "c": None})))
    assert found.annotations == {manifests.TITLE: "a"}


def test_a_layer_has_the_title_of_its_annotation() -> None:
    assert [found.title for found in layers_of(with_layers(layer(A, "a.txt"), layer(B)))] == ["a.txt", None]


def test_a_manifest_keeps_the_bytes_that_its_digest_is_of() -> None:
    content = b'{ "schemaVersion": 2,\n"layers": [] }'
    parsed = manifests.parse(content)
    assert (parsed.content, parsed.digest) == (content, manifests.digest_of(content))


def test_a_manifest_known_by_sha512_gets_a_sha512_digest() -> None:
    content = with_layers()
    known_by = manifests.digest_of(content, "sha512:" + "0" * 128)
    assert manifests.parse(content, digest=known_by).digest == known_by


def test_a_manifest_has_its_artifact_type_config_and_annotations() -> None:
    content = with_layers(artifactType="x/y", config=layer(C), annotations={"k": "v"})
    parsed = manifests.parse(content)
    assert isinstance(parsed, Manifest)
    assert parsed.config is not None
    assert (parsed.artifact_type, parsed.config.digest, parsed.annotations) == ("x/y", C, {"k": "v"})


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"os": "linux", "architecture": "amd64"}, "linux/amd64"),
        ({"os": "linux", "architecture": "arm64", "variant": "v8"}, "linux/arm64/v8"),
        ({"os": "linux", "architecture": "arm64", "variant": 8}, "linux/arm64"),
    ],
)
def test_a_platform_is_named_by_its_parts(value: dict[str, Any], name: str) -> None:
    found = manifests.platform(value)
    assert found is not None
    assert found.join("/") == name


@pytest.mark.parametrize("value", [None, "linux/amd64", {}, {"os": "linux"}, {"os": "", "architecture": "amd64"}])
def test_what_names_no_system_is_no_platform(value: object) -> None:
    assert manifests.platform(value) is None


def test_an_index_keeps_entries_without_platform_and_repeated_ones() -> None:
    amd64 = {"os": "linux", "architecture": "amd64"}
    entries = [layer(A, platform=amd64), layer(B), layer(C, platform=amd64)]
    parsed = manifests.parse(encoded({"schemaVersion": 2, "manifests": entries}))
    assert isinstance(parsed, Index)
    platforms = [entry.platform for entry in parsed.entries]
    assert platforms == [Platform("linux", "amd64"), None, Platform("linux", "amd64")]


@given(documents, st.none() | media_types)
def test_parsing_any_document_gives_sane_descriptors_or_a_named_error(document: object, content_type: str) -> None:
    try:
        parsed = manifests.parse(encoded(document), content_type)
    except (InvalidManifest, DXFUnsupportedSchemaType):
        return
    for found in parsed.layers if isinstance(parsed, Manifest) else parsed.entries:
        assert manifests.descriptor(found.to_json()) is not None


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_parsing_any_bytes_gives_a_manifest_or_a_named_error(content: bytes) -> None:
    try:
        manifests.parse(content)
    except (InvalidManifest, DXFUnsupportedSchemaType):
        return


# Making


def test_a_new_artifact_has_no_files_and_the_empty_config() -> None:
    parsed = manifests.parse(manifests.new_artifact("2024-01-01T00:00:00Z"))
    assert isinstance(parsed, Manifest)
    assert (parsed.layers, parsed.config, parsed.artifact_type, parsed.media_type) == (
        (),
        manifests.EMPTY_DESCRIPTOR,
        manifests.ARTIFACT_TYPE,
        manifests.OCI_MANIFEST,
    )


def test_a_new_artifact_says_when_it_was_made() -> None:
    parsed = manifests.parse(manifests.new_artifact("2024-01-01T00:00:00Z"))
    assert parsed.annotations == {manifests.CREATED: "2024-01-01T00:00:00Z"}


def test_a_schema_2_manifest_has_its_first_blob_as_config() -> None:
    parsed = manifests.parse(manifests.schema2([(A, 1), (B, 2)]).encode())
    assert isinstance(parsed, Manifest)
    assert parsed.config == Descriptor(A, 1, manifests.DOCKER_CONFIG)
    assert parsed.layers == (Descriptor(A, 1), Descriptor(B, 2))


# Editing


def test_layers_of_the_same_bytes_do_not_collide_in_a_table() -> None:
    layers = [Descriptor(A, 0, annotations={manifests.TITLE: f"empty{number}"}) for number in range(1000)]
    assert len({hash(layer) for layer in layers}) == len(layers)


def test_an_added_layer_is_the_last() -> None:
    edited = manifests.edit_layers(with_layers(layer(A)), frozenset(), {Descriptor(B, 2): None})
    assert layers_of(edited) == [Descriptor(A, 1), Descriptor(B, 2)]


def test_a_layer_is_added_where_there_were_none() -> None:
    content = encoded({"schemaVersion": 2, "mediaType": manifests.OCI_MANIFEST, "layers": None})
    assert layers_of(manifests.edit_layers(content, frozenset(), {Descriptor(B, 2): None})) == [Descriptor(B, 2)]


def test_a_removed_layer_is_gone_and_the_order_of_the_others_stays() -> None:
    content = with_layers(layer(A, "a"), layer(B, "b"), layer(C, "c"))
    removed = layers_of(content)[1]
    assert [x.title for x in layers_of(manifests.edit_layers(content, frozenset({removed}), {}))] == ["a", "c"]


def test_of_two_layers_with_one_digest_only_the_named_one_is_removed() -> None:
    content = with_layers(layer(A, "one"), layer(A, "two"))
    removed = layers_of(content)[0]
    assert [x.title for x in layers_of(manifests.edit_layers(content, frozenset({removed}), {}))] == ["two"]


def test_a_replaced_layer_keeps_its_place() -> None:
    content = with_layers(layer(A, "a"), layer(B, "b"))
    old = layers_of(content)[0]
    new = Descriptor(C, 3, annotations={manifests.TITLE: "a"})
    assert layers_of(manifests.edit_layers(content, frozenset(), {new: old}))[0] == new


def test_a_replaced_layer_keeps_foreign_fields_and_loses_what_described_the_old_bytes() -> None:
    content = with_layers(layer(A, "a", **{"x-foreign": 1, "data": "YQ==", "urls": ["http://x"]}))
    edited = manifests.edit_layers(content, frozenset(), {Descriptor(C, 3): layers_of(content)[0]})
    (item,) = json.loads(edited)["layers"]
    assert (item["x-foreign"], "data" in item, "urls" in item) == (1, False, False)


def test_a_layer_to_replace_that_is_not_there_is_added() -> None:
    edited = manifests.edit_layers(with_layers(), frozenset(), {Descriptor(C, 3): Descriptor(A, 1)})
    assert layers_of(edited) == [Descriptor(C, 3)]


def test_two_layers_for_one_place_are_both_kept() -> None:
    content = with_layers(layer(A))
    place = layers_of(content)[0]
    edited = manifests.edit_layers(content, frozenset(), {Descriptor(B, 2): place, Descriptor(C, 3): place})
    assert sorted(x.digest for x in layers_of(edited)) == sorted([B, C])


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"layers": {}}', b'{"layers": 3}'])
def test_what_is_no_manifest_is_not_edited(content: bytes) -> None:
    with pytest.raises(InvalidManifest):
        manifests.edit_layers(content, frozenset(), {})


def test_text_that_is_not_unicode_survives_an_edit() -> None:
    content = with_layers(annotations={"lone surrogate": "\ud800"})
    edited = manifests.edit_layers(content, frozenset(), {})
    assert json.loads(edited)["annotations"] == {"lone surrogate": "\ud800"}


@given(documents, st.lists(st.sampled_from([Descriptor(x, 1) for x in (A, B, C)]), max_size=3, unique=True), st.data())
def test_an_edit_keeps_everything_that_it_does_not_own(
    document: dict[str, Any], new: list[Descriptor], data: st.DataObject
) -> None:
    content = encoded(document)
    known = list(manifests.descriptors(document.get("layers")))
    removed = data.draw(st.frozensets(st.sampled_from(known))) if known else frozenset()
    try:
        edited = json.loads(manifests.edit_layers(content, removed, dict.fromkeys(new)))
    except InvalidManifest:
        assert not isinstance(document.get("layers", []), list | None)
        return
    kept = [item for item in document.get("layers") or [] if manifests.descriptor(item) not in removed]
    assert edited == {**document, "layers": kept + [layer.to_json() for layer in new]}
