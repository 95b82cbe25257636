"""What a registry, a repository or a tag holds, as the lines of a listing. No blob is fetched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from regfs.library.artifacts import (
    File,
    NothingThere,
    NotPossible,
    artifact,
    file_of,
    files_at,
    files_in,
    form,
    no_file,
    path_of,
    sized,
)
from regfs.oci.errors import InvalidManifest
from regfs.oci.manifest import CREATED, Manifest
from regfs.oci.reference import Reference, is_alias, is_repository
from regfs.oci.titles import Path
from regfs.registry.api import RegistryError
from regfs.session import Graph
from regfs.tree.attributes import seconds_of
from regfs.tree.node import Node

_ASKED_AT_ONCE = 8


@dataclass(frozen=True)
class Item:
    """A line of a listing; what is not known, or was not asked for, is None.

    :param kind: repository, alias, platform, directory or file
    :param size: bytes; of an alias, of all its layers
    :param created: seconds since the epoch
    """

    name: str
    kind: str
    size: int | None = None
    created: int | None = None
    digest: str | None = None
    media_type: str | None = None


def listing(
    graph: Graph,
    reference: Reference,
    path: str = "",
    *,
    recursive: bool = False,
    details: bool = False,
    platform: str | None = None,
) -> list[Item]:
    """What a reference holds: a registry its repositories, a repository its aliases, an alias its files.

    :param path: a directory, or a file, of an alias
    :param recursive: files in directories too; of a repository, those of all its aliases
    :param details: ask for what the aliases of a repository are, too
    :raises NothingThere: when the registry does not have it
    :raises NotPossible: when that cannot be listed
    """
    if reference.alias is not None:
        return _listed_files(graph, reference, path_of(path), recursive, platform)
    if path_of(path):
        raise NotPossible(f"a PATH is inside an alias; name one: {form(reference)}")
    if reference.repository is None:
        if recursive:
            raise NotPossible("-R would ask for every manifest of the registry; name a repository, or an alias of it")
        return [Item(name, "repository") for name in _repositories(graph, reference)]
    return _listed_aliases(graph, reference, recursive, details, platform)


def _repositories(graph: Graph, reference: Reference) -> list[str]:
    names = graph.remote.repositories()
    if names is None:
        graph.remote.check()  # a registry that lets nobody in says so
        raise NotPossible(f"{reference.host} does not tell which repositories it has; name one: {form(reference)}")
    return sorted(filter(is_repository, names))


def _listed_aliases(
    graph: Graph, reference: Reference, recursive: bool, details: bool, platform: str | None
) -> list[Item]:
    repository = reference.repository or ""
    aliases = graph.remote.tags(repository)
    if aliases is None:
        below = [name for name in graph.remote.repositories() or () if name.startswith(f"{repository}/")]
        if not below or recursive:
            raise NothingThere(f"there is no repository {repository} in {reference.host}")
        return [Item(name, "repository") for name in sorted(filter(is_repository, below))]
    names = sorted(filter(is_alias, aliases))
    if recursive:
        listed = ((name, files_in(graph, replace(reference, alias=name), platform).values()) for name in names)
        return [_item(graph, replace(file, path=(name, *file.path))) for name, files in listed for file in files]
    if not details:
        return [Item(name, "alias") for name in names]
    pool = ThreadPoolExecutor(_ASKED_AT_ONCE, "regfs-ls")
    try:
        return list(pool.map(lambda name: _described(graph, repository, name), names))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _described(graph: Graph, repository: str, alias: str) -> Item:
    """An alias with what its manifest says; nothing of one that cannot be understood."""
    try:
        manifest = graph.catalog.current(repository, alias)
    except (RegistryError, InvalidManifest):
        manifest = None
    if manifest is None:
        return Item(alias, "alias")
    size = None
    if isinstance(manifest, Manifest) and all(layer.size >= 0 for layer in manifest.layers):
        size = sum(layer.size for layer in manifest.layers)
    created = seconds_of(manifest.annotations.get(CREATED))
    return Item(alias, "alias", size, created, manifest.digest, manifest.media_type)


def _listed_files(graph: Graph, reference: Reference, path: Path, recursive: bool, platform: str | None) -> list[Item]:
    node = _at(artifact(graph, reference, platform), reference, path)
    if not node.is_directory:
        return [_file_item(graph, path, node)]
    if recursive:
        return [_item(graph, file) for _, file in sorted(files_at(node, path).items())]
    return [_child_item(graph, name, child, node) for name, child in sorted(node.children(), key=_by_name)]


def _by_name(child: tuple[str, Node]) -> str:
    return child[0]


def _at(node: Node, reference: Reference, path: Path) -> Node:
    """The node at a path below another one."""
    for name in path:
        found = node.lookup(name)
        if found is None:
            raise NothingThere(no_file(reference, "/".join(path)))
        node = found
    return node


def _child_item(graph: Graph, name: str, child: Node, parent: Node) -> Item:
    """One line of a listing of a directory."""
    if not child.is_directory:
        return _file_item(graph, (name,), child)
    stored = child.stored
    if stored is None:
        return Item(name, child.noun)
    return Item(name, child.noun, None, parent.created, stored.descriptor.digest, stored.descriptor.media_type)


def _file_item(graph: Graph, path: Path, node: Node) -> Item:
    if node.stored is None:  # the manifest itself, among what is hidden
        return Item("/".join(path), node.noun, node.attributes().size)
    return _item(graph, file_of(path, node))


def _item(graph: Graph, file: File) -> Item:
    blob = sized(graph, file).blob
    return Item(file.name, "file", blob.size, file.created, blob.digest, blob.media_type)
