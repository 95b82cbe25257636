"""Directories that only the mount has: what they are until a file lands in them."""

from __future__ import annotations

import errno

import pytest

from regfs.oci.target import Target
from regfs.tree.context import MadeDirectories
from regfs.tree.tree import Tree
from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import refused
from tests.tree.conftest import NewTree


@pytest.fixture
def there(foreign: Foreign, repository: str) -> str:
    """A repository with the tag v1 of the file a."""
    foreign.artifact(repository, "v1", {"a": b"a"})
    return repository


@pytest.fixture
def tree(new_tree: NewTree, registry: Registry, there: str) -> Tree:
    """The tree of the whole registry."""
    return new_tree(registry.url)


@pytest.mark.parametrize(
    ("made", "nested", "tag", "title"),
    [
        (["v2"], "", "v2", ("x",)),
        (["v2", "v2/sub"], "", "v2", ("sub", "x")),
        (["v1/sub"], "", "v1", ("sub", "x")),
        (["new:v1"], "/new", "v1", ("x",)),
    ],
)
def test_a_made_directory_is_in_the_tag_that_it_was_made_in(
    tree: Tree, there: str, made: list[str], nested: str, tag: str, title: tuple[str, ...]
) -> None:
    paths = [(there, *path.split("/")) for path in made]
    for path in paths:
        tree.parent(path).require_makeable(path[-1])
        tree.made.add(path)
    assert tree.target((*paths[-1], "x")) == Target(f"{there}{nested}", tag, title)
    assert [name for name, _ in tree.parent(paths[-1]).children()].count(paths[-1][-1]) == 1


def test_outside_of_repositories_the_first_file_decides(tree: Tree, there: str) -> None:
    for path in ((f"{there}x",), (f"{there}x", "v1"), (f"{there}x", "v1", "sub")):
        tree.made.add(path)
    made = tree.resolve((f"{there}x", "v1"))
    assert made is not None
    assert made.awaits_first_file
    assert tree.target((f"{there}x", "v1", "x")) == Target(f"{there}x", "v1", ("x",))
    assert tree.target((f"{there}x", "v1", "sub", "x")) == Target(f"{there}x/v1", "sub", ("x",))
    with refused(errno.EPERM):
        tree.target((f"{there}x", "x"))


def test_a_file_that_lands_takes_the_directories_above_it() -> None:
    made = MadeDirectories()
    for path in (("a",), ("a", "b"), ("a", "c")):
        made.add(path)
    made.landed(("a", "b", "file"))
    assert (("a",) in made, ("a", "b") in made, ("a", "c") in made) == (False, False, True)


def test_directories_move_along_with_the_one_that_they_are_in() -> None:
    made = MadeDirectories()
    for path in (("a",), ("a", "b"), ("ab",)):
        made.add(path)
    made.move(("a",), ("z",))
    assert (made.names_in(()), made.names_in(("z",))) == (["ab"], ["b"])


def test_directories_go_with_the_one_that_they_are_in() -> None:
    made = MadeDirectories()
    for path in (("a",), ("a", "b"), ("ab",)):
        made.add(path)
    made.remove(("a",))
    assert made.names_in(()) == ["ab"]
    assert made.names_in(("a",)) == []
