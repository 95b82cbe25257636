"""Warming the cache: every blob of some aliases, in parallel, verified. What is there already is not fetched again."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from regfs.library.artifacts import NothingThere, found_by_index, sized_blob
from regfs.oci.manifest import Descriptor
from regfs.oci.reference import Reference
from regfs.session import Graph
from regfs.tree.node import Node
from regfs.util.jobs import finished

_BLOBS_AT_ONCE = 4


@dataclass(frozen=True)
class Wanted:
    """A blob to be in the cache."""

    repository: str
    blob: Descriptor


def wanted(graph: Graph, reference: Reference, platform: str | None = None) -> list[Wanted]:
    """The blobs of what *reference* names: an alias, or all aliases of a repository.

    :param platform: of a multi-platform alias, only this one, as ``os-arch[-variant]``
    :raises NothingThere: when the registry does not have it
    """
    if reference.repository is None:
        raise NothingThere(f"{reference}: name a repository or an alias of it")
    found: dict[str, Wanted] = {}
    for alias in _aliases(graph, reference.repository, reference.alias):
        for blob in _blobs(graph, reference.repository, alias, platform):
            found.setdefault(blob.digest, Wanted(reference.repository, blob))
    return list(found.values())


def _aliases(graph: Graph, repository: str, alias: str | None) -> list[str]:
    if alias is not None:
        return [alias]
    aliases = graph.catalog.aliases(repository)
    if aliases is None:
        raise NothingThere(f"{repository}: there is no such repository")
    return sorted(aliases)


def _blobs(graph: Graph, repository: str, alias: str, platform: str | None) -> Iterator[Descriptor]:
    manifest = graph.catalog.manifest(repository, alias)
    if manifest is None:
        raise NothingThere(f"{repository}:{alias}: there is no such tag")
    top = graph.tree.artifact(repository, alias, manifest)
    platforms = top.platforms()
    with found_by_index():
        for node in [top] if platform is None or not platforms else _only(platforms.get(platform)):
            for stored in node.blobs():
                yield sized_blob(graph, repository, stored.descriptor)


def _only(platform: Node | None) -> list[Node]:
    """The node of a platform, which the registry has; none where an index does not name it."""
    if platform is None:
        return []
    platform.require_complete()
    return [platform]


def prefetch(graph: Graph, blobs: list[Wanted], progress: Callable[[int], object]) -> None:
    """Fetch blobs into the cache.

    :param progress: called with the number of bytes that are there, as they come to be
    :raises: the first error of any of them; the others are kept as far as they came
    :raises OSError: ENOSPC when the cache could not keep them all
    """
    pool = ThreadPoolExecutor(_BLOBS_AT_ONCE, "regfs-prefetch")
    try:
        jobs = [pool.submit(graph.fetcher.prefetch, item.repository, item.blob, progress) for item in blobs]
        finished(jobs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    graph.fetcher.finish()
    lost = [item.blob.digest for item in blobs if not graph.cache.path(item.blob.digest).exists()]
    if lost:
        raise OSError(
            errno.ENOSPC, f"{len(lost)} of {len(blobs)} blobs do not fit in the cache; make room, or raise --cache-size"
        )
