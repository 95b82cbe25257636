"""Manifests and references to the letter: what mutation testing found that no other test had looked at."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from regfs.exceptions import DXFUnsupportedSchemaType
from regfs.oci import manifest as manifests
from regfs.oci.manifest import Descriptor, Index, InvalidManifest
from regfs.oci.reference import InvalidReference, parse_reference

DIGEST = "sha256:" + hashlib.sha256(b"content").hexdigest()
ENTRY = {"mediaType": "text/plain", "digest": DIGEST, "size": 7}


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_a_digest_is_that_of_the_content() -> None:
    assert manifests.digest_of(b"content") == DIGEST
    sha512 = "sha512:" + hashlib.sha512(b"content").hexdigest()
    assert manifests.digest_of(b"content", sha512) == sha512


def test_a_descriptor_writes_its_annotations() -> None:
    written = Descriptor(DIGEST, 7, "text/plain", {"a": "b"}).to_json()
    assert written == {**ENTRY, "annotations": {"a": "b"}}


@pytest.mark.parametrize("size", [0, 2**63 - 1])
def test_the_least_and_the_greatest_size_are_sizes(size: int) -> None:
    found = manifests.descriptor({**ENTRY, "size": size})
    assert found is not None
    assert found.size == size


def test_as_many_entries_as_can_be_worked_with_are_taken() -> None:
    entries = [ENTRY] * manifests._MAX_DESCRIPTORS
    assert len(manifests.descriptors(entries)) == len(entries)
    with pytest.raises(InvalidManifest, match="has 150001 entries"):
        manifests.descriptors([*entries, ENTRY])


@pytest.mark.parametrize("part", ["[", "{", ","])
def test_json_of_too_many_parts_is_not_decoded(part: str) -> None:
    text = part * (manifests._MAX_PARTS + 1)
    for content in (text, text.encode()):
        with pytest.raises(InvalidManifest, match=r"^not a manifest: of too many parts$"):
            manifests.load(content)


def test_what_is_no_object_is_said_to_be_none() -> None:
    with pytest.raises(InvalidManifest, match=r"^not a manifest: not a JSON object$"):
        manifests.load(b"[]")
    with pytest.raises(InvalidManifest, match=r"^not a manifest: JSONDecodeError$"):
        manifests.load(b"?")
    with pytest.raises(InvalidManifest, match=r"^its layers are not a list$"):
        manifests.edit_layers(b'{"layers": {}}', frozenset(), {})


def test_schema_1_is_signed_or_not() -> None:
    assert manifests.kind({"schemaVersion": 1}) == manifests.SCHEMA1
    assert manifests.kind({"schemaVersion": 1, "signatures": []}) == manifests.SCHEMA1_SIGNED


def test_a_type_with_parameters_is_that_type() -> None:
    assert manifests.kind({}, f"{manifests.DOCKER_MANIFEST}; charset=utf-8; q=1") == manifests.DOCKER_MANIFEST


def test_what_has_no_fields_of_a_manifest_is_none() -> None:
    with pytest.raises(DXFUnsupportedSchemaType):
        manifests.kind({"other": 1})


def test_an_index_has_everything_that_its_document_says() -> None:
    content = encoded({"mediaType": manifests.OCI_INDEX, "manifests": [ENTRY], "annotations": {"a": "b"},
                       "artifactType": "x/y"})  # fmt: skip
    digest = manifests.digest_of(content)
    entries = (Descriptor(DIGEST, 7, "text/plain"),)
    found = manifests.parse(content)
    assert found == Index(digest, manifests.OCI_INDEX, content, entries, {"a": "b"}, "x/y")


def test_a_new_artifact_is_what_the_image_specification_asks_for() -> None:
    assert json.loads(manifests.new_artifact("2026-01-01T00:00:00Z")) == {
        "schemaVersion": 2,
        "mediaType": manifests.OCI_MANIFEST,
        "artifactType": manifests.ARTIFACT_TYPE,
        "config": manifests.EMPTY_DESCRIPTOR.to_json(),
        "layers": [],
        "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
    }


def test_a_schema_2_manifest_is_written_with_sorted_keys() -> None:
    layer = {"digest": DIGEST, "mediaType": "application/octet-stream", "size": 7}
    config = {**layer, "mediaType": manifests.DOCKER_CONFIG}
    document = {"config": config, "layers": [layer], "mediaType": manifests.DOCKER_MANIFEST, "schemaVersion": 2}
    assert manifests.schema2([(DIGEST, 7)]) == json.dumps(document)


def test_an_edit_writes_compact_json_in_utf_8() -> None:
    edited = manifests.edit_layers('{"annotations": {"a": "é"}, "layers": []}'.encode(), frozenset(), {})
    assert edited == '{"annotations":{"a":"é"},"layers":[]}'.encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("h:65536", "'h:65536': port 65536 is out of range (1 to 65535)"),
        (f"h:1/a:b@{DIGEST}", f"'h:1/a:b@{DIGEST}' has both an alias and a digest; keep one: h:1/a@{DIGEST}"),
        ("h/a:.b",
         "'h/a:.b': '.b' is not an alias; letters, digits, '.', '_' and '-', at most 128, not first '.' or '-'"),
        ("h/-A", "'h/-A': '-A' is not a repository name: lowercase letters and digits, joined by '.', '_', '-', '/'"),
    ],
)  # fmt: skip
def test_a_wrong_reference_is_told_to_the_letter(text: str, said: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert str(caught.value) == said


def test_an_address_in_a_digest_is_no_credential() -> None:
    reference = parse_reference(f"h/a/b@{DIGEST}")
    assert (reference.host, reference.repository, reference.alias) == ("h", "a/b", DIGEST)
