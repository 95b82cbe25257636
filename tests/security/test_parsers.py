"""Parsers of what comes from outside: whatever it is, there is an answer or the error that was promised."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regfs.oci import manifest
from regfs.tree.tree import MAX_NAME, files_of, title_path
from tests.logs import LEFT_OUT
from tests.security.fuzzing import TARGETS, fuzz, mutated

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
LAYERS = st.fixed_dictionaries(
    {},
    optional={
        "digest": VALUES | st.just("sha256:" + "a" * 64),
        "size": VALUES | st.just(5),
        "mediaType": VALUES,
        "annotations": VALUES | st.fixed_dictionaries({manifest.TITLE: st.text("ab/.\0\n\ud800", max_size=12)}),
    },
)


@pytest.mark.logs(LEFT_OUT)
@pytest.mark.parametrize("name", list(TARGETS))
def test_mutated_input_breaks_no_parser(name: str) -> None:
    assert fuzz(name, seed=1, seconds=0.7) > 50


@pytest.mark.logs(LEFT_OUT)
@pytest.mark.parametrize("name", list(TARGETS))
@given(text=st.text(max_size=200))
def test_no_text_breaks_a_parser(name: str, text: str) -> None:
    parse, example = TARGETS[name]
    parse(text)
    parse(example + text)


@given(st.lists(LAYERS, max_size=6), VALUES, VALUES)
def test_each_blob_of_any_manifest_has_one_harmless_name(layers: object, config: object, annotations: object) -> None:
    document = {"mediaType": manifest.OCI_MANIFEST, "layers": layers, "config": config, "annotations": annotations}
    parsed = manifest.parse(json.dumps(document).encode())
    assert isinstance(parsed, manifest.Manifest)
    files = files_of(parsed)
    assert {blob.digest for blob in files.blobs.values()} == {layer.digest for layer in parsed.layers}
    for path in files.blobs:
        assert not {"", ".", ".."} & set(path)
        assert all(len(name.encode()) <= MAX_NAME and "/" not in name and name.isprintable() for name in path)


@given(st.text("ab./\0\\ \n", max_size=40))
def test_a_title_that_is_used_stays_inside(title: str) -> None:
    path = title_path(title)
    assert path is None or "/".join(path) == title
    assert path is None or not {"", ".", ".."} & set(path)


def test_a_mutation_depends_on_its_seed_alone() -> None:
    import random

    assert mutated("text", random.Random(5)) == mutated("text", random.Random(5))
