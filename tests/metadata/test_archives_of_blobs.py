"""Blobs of a registry as archives: opened once, from indexes that are kept, and with the errors of the registry."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from regfs.archive.errors import ArchiveError, DigestMismatch
from regfs.registry.api import Unreachable
from tests import leftovers
from tests.archive.making import Member, file, tar
from tests.archive.producers import Layer, estargz, zstd, zstd_chunked
from tests.cache.conftest import disk, fill  # noqa: F401 - a fixture
from tests.contents import MIB, content_of
from tests.counting import Counting
from tests.metadata.conftest import NewGraph, image_in, manifest_in, read
from tests.registries import Registry
from tests.scenarios.foreign import TAR_GZIP, Foreign, digest_of
from tests.scenarios.views import eventually, refused

LOWER = tar(file("a", b"lower"), file("b", b"lower"))
UPPER = tar(file("a", b"upper"))
LARGE = tar(file("large", content_of(20 * MIB)), file("last", b"last"))


def test_an_index_is_made_once_and_kept(
    new_graph: NewGraph, proxy: Counting, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.image(repository, "v1", LARGE)
    with new_graph(proxy.url) as graph:
        assert read(graph.archives, image_in(graph, repository), "last") == b"last"
    (index,) = (tmp_path / "cache/indexes").iterdir()
    made = index.stat().st_ino
    graph = new_graph(proxy.url)
    graph.cache.make_room(0)
    assert read(graph.archives, image_in(graph, repository), "last") == b"last"
    assert index.stat().st_ino == made


def test_with_an_index_a_file_costs_its_part_of_the_layer(
    new_graph: NewGraph, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    noise = random.Random(0).randbytes
    foreign.image(repository, "v1", tar(*(file(f"{number}", noise(MIB)) for number in range(40)), file("z", b"z")))
    with new_graph(proxy.url) as graph:
        read(graph.archives, image_in(graph, repository), "z")
        graph.fetcher.finish()
    graph = new_graph(proxy.url)
    graph.cache.make_room(0)
    proxy.begin()
    assert read(graph.archives, image_in(graph, repository), "z") == b"z"
    assert proxy.moved < 6 * MIB


def test_a_layer_that_is_no_archive_is_an_error(
    new_graph: NewGraph, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.image(repository, "v1", b"no tar at all", UPPER)
    graph = new_graph(registry.url)
    image = image_in(graph, repository)
    assert read(graph.archives, image, "a") == b"upper"
    for _ in range(2):
        with pytest.raises(ArchiveError):
            image.ask(lambda root: root.lookup(("b",)))


def test_a_wrong_diff_id_is_an_error_however_the_layer_was_opened_before(
    new_graph: NewGraph, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.image(repository, "v1", LOWER, diff_ids=[digest_of(b"another")])
    graph = new_graph(registry.url)
    (layer,) = manifest_in(graph, repository).layers
    assert read(graph.archives, graph.archives.unpacked(repository, layer), "a") == b"lower"
    with pytest.raises(DigestMismatch):
        image_in(graph, repository).ask(lambda root: root.lookup(("a",)))


def test_an_error_of_the_registry_is_raised_as_it_is_and_tried_again(
    new_graph: NewGraph, own_registry: Registry, own_foreign: Foreign, repository: str
) -> None:
    own_foreign.image(repository, "v1", LOWER, UPPER)
    graph = new_graph(own_registry.url)
    manifest, archives = manifest_in(graph, repository), graph.archives
    config = archives.image_config(repository, manifest)
    assert config is not None
    own_registry.stop()
    image = archives.image(repository, manifest.layers, config.diff_ids)
    with pytest.raises(Unreachable):
        image.ask(lambda root: root.lookup(("b",)))
    own_registry.restart()

    def again() -> bytes | None:
        try:
            return read(archives, image, "b")
        except Unreachable:  # a registry that cannot be reached is left alone for a moment
            return None

    eventually(again, b"lower")


def test_a_wait_ends_with_the_session(
    new_graph: NewGraph, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.image(repository, "v1", LOWER)
    graph = new_graph(registry.url)
    manifest = manifest_in(graph, repository)
    config = graph.archives.image_config(repository, manifest)
    assert config is not None
    graph.archives.close()
    with refused(errno.ECANCELED):
        graph.archives.image(repository, manifest.layers, config.diff_ids)


@pytest.mark.logs(r": its index is not kept: No space left on device; ", r"No space left on device$")
def test_a_full_disk_only_means_that_the_index_is_not_kept(
    new_graph: NewGraph,
    registry: Registry,
    foreign: Foreign,
    repository: str,
    disk: Callable[[int], Path],  # noqa: F811
) -> None:
    foreign.image(repository, "v1", LARGE)
    directory = disk(64 * MIB)
    graph = new_graph(registry.url, cache_dir=directory / "cache")
    fill(directory, 64 << 10)
    assert read(graph.archives, image_in(graph, repository), "last") == b"last"


@pytest.mark.logs(r": its index cannot be used: .*; regfs makes it again$")
def test_a_torn_index_is_made_again(
    new_graph: NewGraph, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.image(repository, "v1", LOWER)
    with new_graph(registry.url) as graph:
        read(graph.archives, image_in(graph, repository), "a")
    (index,) = (tmp_path / "cache/indexes").iterdir()
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 2])
    graph = new_graph(registry.url)
    assert read(graph.archives, image_in(graph, repository), "a") == b"lower"
    assert index.read_bytes() == whole


def test_files_are_let_go_of_when_nobody_reads(
    new_graph: NewGraph, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.image(repository, "v1", LOWER, UPPER)
    graph = new_graph(registry.url)
    image = image_in(graph, repository)
    assert read(graph.archives, image, "b") == b"lower"
    assert leftovers.more(lambda: frozenset(name for name in leftovers.files() if "/blobs/" in name), ()) == []


@pytest.mark.parametrize("make", [estargz, zstd_chunked])
def test_a_layer_with_a_table_of_contents_is_not_read_whole(
    new_graph: NewGraph, proxy: Counting, foreign: Foreign, repository: str, make: Callable[[list[Member]], Layer]
) -> None:
    noise = random.Random(1).randbytes
    made = make([file("first", b"first"), file("large", noise(20 * MIB)), file("last", b"last")])
    layer = foreign.layer(repository, made.blob, mediaType=TAR_GZIP, annotations=made.annotations)
    foreign.publish(repository, "v1", [layer])
    graph = new_graph(proxy.url)
    (found,) = manifest_in(graph, repository).layers
    root = graph.archives.unpacked(repository, found)
    assert (read(graph.archives, root, "first"), read(graph.archives, root, "last")) == (b"first", b"last")
    assert proxy.moved < 10 * MIB


def test_one_frame_of_zstd_is_unpacked_once_and_kept(
    new_graph: NewGraph, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    packed = tar(file("large", content_of(40 * MIB)), file("last", b"last"))
    blob = zstd.compress(packed)
    layer = foreign.layer(repository, blob, mediaType="application/vnd.oci.image.layer.v1.tar+zstd")
    foreign.publish(repository, "v1", [layer])
    for _ in range(2):
        with new_graph(proxy.url) as graph:
            (found,) = manifest_in(graph, repository).layers
            root = graph.archives.unpacked(repository, found)
            assert read(graph.archives, root, "last") == b"last"
            assert graph.cache.path(digest_of(packed)).exists()
