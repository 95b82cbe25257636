"""What each kind of node answers, asked as the port has it: nobody here names a kind."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator

import pytest

from regfs.oci.target import Target
from regfs.tree.attributes import Kind
from regfs.tree.node import Node, TagName
from regfs.tree.tree import Tree
from tests.registries import Registry
from tests.scenarios.foreign import Foreign, digest_of
from tests.scenarios.views import refused
from tests.tree.conftest import NewTree

AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64", "variant": "v8"}


@pytest.fixture
def there(foreign: Foreign, repository: str) -> str:
    """A namespace with a repository ``repo`` of the tags v1 (files a, sub/b) and multi (two platforms)."""
    name = f"{repository}/repo"
    foreign.artifact(name, "v1", {"a": b"aa", "sub/b": b"bb"})
    amd64 = foreign.artifact(name, "amd64", {"program": b"amd64"})
    arm64 = foreign.artifact(name, "arm64", {"program": b"arm64"})
    foreign.index(name, "multi", [(amd64, AMD64), (arm64, ARM64)])
    return repository


@pytest.fixture
def tree(new_tree: NewTree, registry: Registry, there: str) -> Tree:
    """The tree of the whole registry."""
    return new_tree(registry.url)


def node_at(tree: Tree, path: str) -> Node:
    """What is at a path."""
    found = tree.resolve(tuple(filter(None, path.split("/"))))
    assert found is not None, path
    return found


def nodes_below(node: Node) -> Iterator[Node]:
    """A node and all that is listed below it, and the hidden directories."""
    yield node
    if node.is_directory:
        below = [child for _, child in node.children()]
        hidden = [child for name in (".oci", ".blobs", "blobs") if (child := node.lookup(name)) is not None]
        for child in (*below, *hidden):
            yield from nodes_below(child)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("", {"repo"}),
        ("repo", {"amd64", "arm64", "multi", "v1"}),
        ("repo/v1", {"a", "sub"}),
        ("repo/v1/sub", {"b"}),
        ("repo/multi", {"linux-amd64", "linux-arm64-v8"}),
        ("repo/multi/linux-amd64", {"program"}),
        ("repo/v1/.oci", {"manifest.json", "config.json", "blobs"}),
        ("repo/v1/.oci/blobs", {digest_of(b"aa"), digest_of(b"bb"), digest_of(b"{}")}),
        ("repo/multi/.oci", {"manifest.json", "blobs"}),
        ("repo/.blobs", set()),
    ],
)
def test_a_directory_lists_its_children(tree: Tree, there: str, path: str, names: set[str]) -> None:
    assert {name for name, _ in node_at(tree, f"{there}/{path}").children()} == names


def test_what_is_listed_is_what_is_looked_up(tree: Tree, there: str) -> None:
    for node in nodes_below(node_at(tree, there)):
        for name, child in node.children() if node.is_directory else ():
            found = node.lookup(name)
            assert found is not None
            assert (found.noun, found.attributes(), found.content_id) == (
                child.noun,
                child.attributes(),
                child.content_id,
            )


def test_any_node_answers_for_every_question(tree: Tree, there: str) -> None:
    for node in nodes_below(node_at(tree, there)):
        kind = Kind.DIRECTORY if node.is_directory else Kind.FILE
        assert node.attributes().kind is kind
        assert all(isinstance(value, bytes) for value in node.xattrs().values())
        with refused(errno.EINVAL):
            node.readlink()
        with refused(errno.EISDIR if node.is_directory else errno.ENOTDIR):
            node.open() if node.is_directory else node.children()
        node.require_complete()
        node.refresh()


def test_a_file_has_the_bytes_that_its_attributes_say(tree: Tree, there: str) -> None:
    for node in nodes_below(node_at(tree, f"{there}/repo/v1")):
        if not node.is_directory:
            reader = node.open()
            buffer = memoryview(bytearray(1 << 16))
            assert reader.read_into(buffer, 0) == reader.size == node.attributes().size
            assert reader.read_into(buffer, reader.size) == 0
            reader.close()


def test_the_same_bytes_have_the_same_content_id(tree: Tree, there: str) -> None:
    titled = node_at(tree, f"{there}/repo/v1/a").content_id
    assert titled == node_at(tree, f"{there}/repo/v1/.oci/blobs/{digest_of(b'aa')}").content_id
    assert titled == node_at(tree, f"{there}/repo/.blobs/{digest_of(b'aa')}").content_id
    assert titled != node_at(tree, f"{there}/repo/v1/sub/b").content_id


def test_a_manifest_is_hashed_once_for_all_who_stat_it(tree: Tree, there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"{there}/repo/{tag}/.oci/manifest.json" for tag in ("v1", "multi")]
    before = [node_at(tree, path).attributes() for path in paths]
    monkeypatch.setattr(hashlib, "new", None)
    assert [node_at(tree, path).attributes() for path in paths] == before


def test_other_bytes_at_a_path_have_another_content_id(
    new_tree: NewTree, registry: Registry, foreign: Foreign, there: str
) -> None:
    tree = new_tree(registry.url, ttl=0)
    paths = [f"{there}/repo/v1/a", f"{there}/repo/v1/.oci/manifest.json"]
    before = [node_at(tree, path).content_id for path in paths]
    assert before == [node_at(tree, path).content_id for path in paths]
    foreign.artifact(f"{there}/repo", "v1", {"a": b"AA"})
    assert not set(before) & {node_at(tree, path).content_id for path in paths}


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("repo/v1/new", ("v1", ("new",))),
        ("repo/v1/sub/new", ("v1", ("sub", "new"))),
        ("repo:v1/new", ("v1", ("new",))),
        ("repo/.blobs/new", (None, ("new",))),
    ],
)
def test_a_directory_says_what_a_file_in_it_is_meant_to_be(
    tree: Tree, there: str, path: str, target: tuple[str | None, tuple[str, ...]]
) -> None:
    assert tree.target((there, *path.split("/"))) == Target(f"{there}/repo", *target)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("new", errno.EPERM),
        ("repo/new", errno.EPERM),
        ("repo/multi/new", errno.EROFS),
        ("repo/multi/linux-amd64/new", errno.EROFS),
        ("repo/v1/.oci/new", errno.EROFS),
        ("repo/v1/.oci/blobs/new", errno.EROFS),
        ("repo/v1/a/new", errno.ENOTDIR),
        ("repo/v1/missing/new", errno.ENOENT),
        ("repo/v1/..", errno.EINVAL),
    ],
)
def test_a_directory_refuses_a_file_that_cannot_be(tree: Tree, there: str, path: str, number: int) -> None:
    with refused(number):
        tree.target((there, *path.split("/")))


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("repo", errno.EISDIR),
        ("repo/multi/linux-amd64/program", errno.EROFS),
        ("repo/v1/.oci/manifest.json", errno.EROFS),
        ("repo/v1/.oci/config.json", errno.EPERM),
    ],
)
def test_what_cannot_be_taken_out_of_its_tag_says_why(tree: Tree, there: str, path: str, number: int) -> None:
    with refused(number):
        node_at(tree, f"{there}/{path}").removable()


def test_a_file_says_which_tag_it_can_be_taken_out_of(tree: Tree, there: str) -> None:
    assert node_at(tree, f"{there}/repo/v1/sub/b").removable() == Target(f"{there}/repo", "v1", ("sub", "b"))


def test_an_empty_directory_says_which_tag_goes_with_it(tree: Tree, there: str) -> None:
    assert node_at(tree, f"{there}/repo/v1").removable_tag() == TagName(f"{there}/repo", "v1")
    assert node_at(tree, f"{there}/repo/v1/sub").removable_tag() is None
    for path, number in (("repo", errno.EPERM), ("repo/multi", errno.EROFS), ("repo/v1/a", errno.ENOTDIR)):
        with refused(number):
            node_at(tree, f"{there}/{path}").removable_tag()


def test_a_place_for_a_tag_says_which_one(tree: Tree, there: str) -> None:
    assert node_at(tree, there).tag_at("repo:v2") == TagName(f"{there}/repo", "v2")
    assert node_at(tree, f"{there}/repo").tag_at("v2") == TagName(f"{there}/repo", "v2")
    assert node_at(tree, there).tag_at("v2") is None
    assert node_at(tree, f"{there}/repo/v1").tag_at("v2") is None


def test_the_blobs_of_an_index_are_those_of_its_platforms(tree: Tree, there: str) -> None:
    digests = {stored.descriptor.digest for stored in node_at(tree, f"{there}/repo/multi").blobs()}
    assert digests == set(map(digest_of, (b"amd64", b"arm64", b"{}")))
