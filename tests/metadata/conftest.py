"""Archives of a real registry, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from regfs.archive.rootfs.merge import Root
from regfs.metadata.archives import Archives
from regfs.metadata.image_root import ImageRoot
from regfs.oci.manifest import Manifest
from regfs.oci.reference import parse_reference
from regfs.session import Graph, Options

NewGraph = Callable[..., Graph]


@pytest.fixture
def new_graph(tmp_path: Path) -> Iterator[NewGraph]:
    """Make the objects for a registry, with options as :class:`regfs.session.Options` has them."""
    with ExitStack() as graphs:

        def make(reference: str, **options: object) -> Graph:
            given = {"cache_dir": tmp_path / "cache", "state_dir": tmp_path / "state", "ttl": 0, **options}
            return graphs.enter_context(Graph(Options(reference=parse_reference(reference), **given)))  # type: ignore[arg-type]

        yield make


def image_in(graph: Graph, repository: str, tag: str = "v1") -> ImageRoot:
    """The root of an image."""
    manifest, archives = manifest_in(graph, repository, tag), graph.archives
    config = archives.image_config(repository, manifest)
    assert config is not None
    return archives.image(repository, manifest.layers, config.diff_ids)


def manifest_in(graph: Graph, repository: str, tag: str = "v1") -> Manifest:
    """The manifest of a tag."""
    manifest = graph.catalog.manifest(repository, tag)
    assert isinstance(manifest, Manifest)
    return manifest


def read(archives: Archives, root: Root | ImageRoot, path: str) -> bytes:
    """The bytes of a file of a root."""
    parts = tuple(path.split("/"))

    def content(of: Root) -> bytes:
        node = of.lookup(parts)
        assert node is not None, path
        reader = of.open(node)
        return reader.read(0, reader.size)

    return root.ask(content) if isinstance(root, ImageRoot) else content(root)
