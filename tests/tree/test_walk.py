"""All that is below a node."""

from __future__ import annotations

import errno
import json

from regfs.tree.node import Node
from regfs.tree.tree import Tree
from regfs.tree.walk import files_below
from tests.registries import Registry
from tests.scenarios.foreign import OCI_INDEX, Foreign
from tests.scenarios.views import refused
from tests.tree.conftest import NewTree

AMD64 = {"os": "linux", "architecture": "amd64"}


def below(node: Node | None) -> list[str]:
    """The paths of the files below a node."""
    assert node is not None
    return sorted("/".join(path) for path, _ in files_below(node))


def tag(tree: Tree, name: str) -> Node | None:
    """A tag of a tree that is one repository."""
    return tree.resolve((name,))


def test_files_are_found_through_repositories_tags_and_platforms(
    new_tree: NewTree, registry: Registry, foreign: Foreign, repository: str
) -> None:
    amd64 = foreign.artifact(repository, "v1", {"a": b"a", "sub/b": b"b"})
    foreign.index(repository, "v2", [(amd64, AMD64)])
    tree = new_tree(registry.url)
    assert below(tree.resolve((repository,))) == ["v1/a", "v1/sub/b", "v2/linux-amd64/a", "v2/linux-amd64/sub/b"]


def test_a_platform_that_the_registry_does_not_have_is_told(
    new_tree: NewTree, registry: Registry, foreign: Foreign, repository: str
) -> None:
    amd64 = foreign.artifact(repository, "v1", {"a": b"a"})
    foreign.index(repository, "v2", [(amd64, AMD64)])
    foreign.delete(repository, amd64)
    tree = new_tree(f"{registry.url}/{repository}")
    index = tag(tree, "v2")
    assert index is not None
    assert [name for name, _ in index.children()] == ["linux-amd64"]
    with refused(errno.ENOENT):
        below(index)


def test_indexes_in_each_other_end_after_the_fourth(
    new_tree: NewTree, registry: Registry, foreign: Foreign, repository: str
) -> None:
    digest, path = foreign.artifact(repository, "v0", {"a": b"a"}), "a"
    for number in range(1, 6):
        size = len(foreign.manifest(repository, digest))
        entry = {"mediaType": OCI_INDEX, "digest": digest, "size": size, "platform": AMD64}
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        digest = foreign.put(repository, f"v{number}", json.dumps(document).encode(), OCI_INDEX)
        path = f"linux-amd64/{path}"
        found = below(tag(new_tree(f"{registry.url}/{repository}"), f"v{number}"))
        assert found == ([path] if number <= 4 else [])
