"""A tree of a real registry, without a mount."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from regfs.oci.reference import parse_reference
from regfs.session import Graph, Options
from regfs.tree.tree import Tree

NewTree = Callable[..., Tree]


@pytest.fixture
def new_tree(tmp_path: Path) -> Iterator[NewTree]:
    """Make the tree of a reference, with options as :class:`regfs.session.Options` has them."""
    with ExitStack() as graphs:

        def make(reference: str, **options: object) -> Tree:
            directories = {"cache_dir": tmp_path / "cache", "state_dir": tmp_path / "state"}
            graph = Graph(Options(reference=parse_reference(reference), **directories, **options))  # type: ignore[arg-type]
            return graphs.enter_context(graph).tree

        yield make
