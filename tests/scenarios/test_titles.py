"""Names from the registry are hostile: what cannot be a harmless relative path goes by its digest."""

from __future__ import annotations

import pytest

from tests.scenarios.foreign import TITLE, Foreign, digest_of
from tests.scenarios.views import View

HOSTILE = {
    "parent": "..",
    "through the parent": "../../etc/passwd",
    "parent inside": "a/../../b",
    "absolute": "/etc/passwd",
    "empty": "",
    "dot": ".",
    "slashes alone": "//",
    "below the hidden by a dot": "./.oci/manifest.json",
    "NUL": "a\0b",
    "newline": "a\nb",
    "escape": "a\x1b[31mb",
    "delete": "a\x7fb",
    "300 bytes": "x" * 300,
    "256 bytes in letters of two": "ö" * 128,
    "300 bytes inside": f"a/{'x' * 300}/b",
    "longer than any path": "/".join(["x"] * 3000),
    "hidden": ".oci",
    "below the hidden": ".oci/manifest.json",
    "lone surrogate": "a\ud800b",
    "surrogate inside": "a/\udcff",
    "a digest": f"sha256:{'0' * 64}",
    "below a digest": f"sha256:{'0' * 64}/a",
}


@pytest.mark.parametrize("title", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_title_is_not_used(view: View, foreign: Foreign, repository: str, title: str) -> None:
    layers = [("good", b"good"), (title, b"hostile"), ("sub/good", b"good too")]
    foreign.publish(repository, "v1", [foreign.layer(repository, content, name) for name, content in layers])
    by_digest = digest_of(b"hostile")
    assert view.list(f"{repository}/v1") == sorted(["good", by_digest, "sub"])
    assert view.read_bytes(f"{repository}/v1/{by_digest}") == b"hostile"
    assert view.read_bytes(f"{repository}/v1/good") == b"good"
    assert view.read_bytes(f"{repository}/v1/sub/good") == b"good too"


@pytest.mark.parametrize(
    ("title", "path"), [("./a", "a"), ("a/./b", "a/b"), ("a//b", "a/b"), ("a/", "a"), ("a/.", "a")]
)
def test_an_odd_title_is_used_as_the_path_that_it_means(
    view: View, foreign: Foreign, repository: str, title: str, path: str
) -> None:
    foreign.artifact(repository, "v1", {title: b"odd"})
    assert view.list(f"{repository}/v1") == ["a"]
    assert view.read_bytes(f"{repository}/v1/{path}") == b"odd"


STRANGE = (
    "a:b", "a@b", "-rf", "a b", "a\\b", "*", "~", "ö" * 127, "x" * 255, ".hidden", "..a", "...", "a/.oci", ".blobs",
    "sha256:0", "\u202egnp.exe", "😀", "%2e%2e", "CON", "a'b\"c", "$HOME",
)  # fmt: skip


@pytest.mark.parametrize("title", STRANGE)
def test_a_strange_title_that_is_harmless_is_used(view: View, foreign: Foreign, repository: str, title: str) -> None:
    foreign.artifact(repository, "v1", {title: b"strange"})
    assert view.list(f"{repository}/v1") == [title.partition("/")[0]]
    assert view.read_bytes(f"{repository}/v1/{title}") == b"strange"


COLLIDING = {
    "the same name": ("a", "a"),
    "a file where there is a directory": ("a/b", "a"),
    "a directory where there is a file": ("a", "a/b"),
    "a directory deep below a file": ("a/b", "a/b/c/d"),
}


@pytest.mark.parametrize(("first", "second"), COLLIDING.values(), ids=COLLIDING)
def test_of_colliding_titles_the_first_is_used(
    view: View, foreign: Foreign, repository: str, first: str, second: str
) -> None:
    layers = [foreign.layer(repository, b"first", first), foreign.layer(repository, b"second", second)]
    foreign.publish(repository, "v1", layers)
    by_digest = digest_of(b"second")
    assert view.list(f"{repository}/v1") == sorted([first.partition("/")[0], by_digest])
    assert view.read_bytes(f"{repository}/v1/{first}") == b"first"
    assert view.read_bytes(f"{repository}/v1/{by_digest}") == b"second"


def test_a_title_below_another_blobs_digest_does_not_hide_that_blob(
    view: View, foreign: Foreign, repository: str
) -> None:
    hidden = digest_of(b"nameless")
    layers = [foreign.layer(repository, b"titled", f"{hidden}/a"), foreign.layer(repository, b"nameless")]
    foreign.publish(repository, "v1", layers)
    assert view.read_bytes(f"{repository}/v1/{hidden}") == b"nameless"
    assert view.list(f"{repository}/v1") == sorted([hidden, digest_of(b"titled")])


def test_a_hostile_title_survives_an_edit_of_the_alias(view: View, foreign: Foreign, repository: str) -> None:
    layers = [foreign.layer(repository, b"1", "../a"), foreign.layer(repository, b"2", "a\ud800")]
    foreign.publish(repository, "v1", layers)
    view.write_bytes(f"{repository}/v1/new", b"3")
    titles = [layer["annotations"][TITLE] for layer in foreign.document(repository, "v1")["layers"]]
    assert titles == ["../a", "a\ud800", "new"]
