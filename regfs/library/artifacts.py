"""What a registry, a repository or an alias holds, and what is done to aliases from outside of a mount.

An alias is always asked for, and never served stale. No blob is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from regfs.exceptions import DXFError
from regfs.oci.manifest import CREATED, Descriptor, Index, InvalidManifest, Manifest
from regfs.oci.reference import Reference, is_alias, is_digest, is_repository
from regfs.oci.titles import Path
from regfs.session import Graph
from regfs.tree.attributes import seconds_of
from regfs.tree.node import Node
from regfs.tree.walk import files_below
from regfs.write.publish import editable

_ASKED_AT_ONCE = 8


class NothingThere(Exception):
    """The registry does not have what was asked for; the text says so in one line."""


class NotPossible(Exception):
    """What was asked for cannot be done; the text says why, and what to do, in one line."""


@dataclass(frozen=True)
class File:
    """A file of an alias.

    :param path: its title, below the platform's name where an alias has several
    :param created: seconds since the epoch, where the manifest says
    """

    repository: str
    path: Path
    blob: Descriptor
    created: int | None = None

    @property
    def name(self) -> str:
        """Its path as it is written."""
        return "/".join(self.path)


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


def manifest_of(graph: Graph, reference: Reference) -> Manifest | Index:
    """What an alias, or a digest, stands for at this moment.

    :raises NothingThere: when the registry does not have it
    """
    repository, alias = _named(reference)
    ask = graph.catalog.manifest if is_digest(alias) else graph.catalog.current
    found = ask(repository, alias)
    if found is None:
        raise NothingThere(f"{reference}: there is no such alias; to see which there are: regfs ls {_above(reference)}")
    return found


def files_in(graph: Graph, reference: Reference, platform: str | None = None) -> dict[Path, File]:
    """The files of an alias by their paths.

    :param platform: of a multi-platform alias, only this one, as ``os-arch[-variant]``; else each is a directory
    :raises NothingThere: when the registry does not have it
    """
    return _files_below(artifact(graph, reference, platform))


def _files_below(node: Node, path: Path = ()) -> dict[Path, File]:
    """The files below a node by their paths."""
    with found_by_index():
        return {there: _file(there, found) for there, found in files_below(node, path)}


def artifact(graph: Graph, reference: Reference, platform: str | None = None) -> Node:
    """The node of what an alias, or a digest, stands for at this moment.

    :param platform: of a multi-platform alias, only this one, as ``os-arch[-variant]``; else each is a directory
    :raises NothingThere: when the registry does not have it
    """
    repository, alias = _named(reference)
    top = graph.tree.artifact(repository, alias, manifest_of(graph, reference))
    platforms = top.platforms()
    if platform is None or not platforms:
        return top
    if platform not in platforms:
        raise NothingThere(f"{reference}: there is no platform {platform}; there are: {', '.join(platforms)}")
    with found_by_index():
        platforms[platform].require_complete()
    return platforms[platform]


@contextmanager
def found_by_index() -> Iterator[None]:
    """Say in one line what the registry does not have, though an index names it.

    :raises NothingThere: in the place of ENOENT
    """
    try:
        yield
    except FileNotFoundError as error:
        raise NothingThere(error.strerror) from None


def _file(path: Path, node: Node) -> File:
    stored = node.stored
    if stored is None:
        raise NotPossible(f"{'/'.join(path)} is no blob")
    return File(stored.repository, path, stored.descriptor, node.created)


def chosen(reference: Reference, files: Mapping[Path, File], names: Sequence[str]) -> list[File]:
    """The files that *names* name, and those in the directories that they name; without names, all.

    :raises NothingThere: when a name is none of an alias's file or directory
    """
    if not names:
        return list(files.values())
    found: dict[Path, File] = {}
    for name in names:
        path = path_of(name)
        below = [files[path]] if path in files else [file for file in files.values() if file.path[: len(path)] == path]
        if not below:
            raise NothingThere(_no_file(reference, name))
        found.update((file.path, file) for file in below)
    return list(found.values())


def path_of(name: str) -> Path:
    """A path as the user wrote it."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def sized(graph: Graph, file: File) -> File:
    """*file* with the size of its blob, which a schema 1 manifest does not give.

    :raises NothingThere: when the repository does not have the blob
    """
    return replace(file, blob=sized_blob(graph, file.repository, file.blob))


def sized_blob(graph: Graph, repository: str, blob: Descriptor) -> Descriptor:
    """*blob* with its size, which a schema 1 manifest does not give.

    :raises NothingThere: when the repository does not have it
    """
    found = graph.catalog.sized(repository, blob)
    if found is None:
        raise NothingThere(f"{blob.digest} is not in {repository}")
    return found


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
        raise NotPossible(f"a PATH is inside an alias; name one: {_form(reference)}")
    if reference.repository is None:
        if recursive:
            raise NotPossible("-R would ask for every manifest of the registry; name a repository, or an alias of it")
        return [Item(name, "repository") for name in _repositories(graph, reference)]
    return _listed_aliases(graph, reference, recursive, details, platform)


def _repositories(graph: Graph, reference: Reference) -> list[str]:
    names = graph.remote.repositories()
    if names is None:
        raise NotPossible(f"{reference.host} does not tell which repositories it has; name one: {_form(reference)}")
    return sorted(filter(is_repository, names))


def _listed_aliases(
    graph: Graph, reference: Reference, recursive: bool, details: bool, platform: str | None
) -> list[Item]:
    repository = reference.repository or ""
    aliases = graph.remote.aliases(repository)
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
    except (DXFError, InvalidManifest):
        manifest = None
    if manifest is None:
        return Item(alias, "alias")
    size = None
    if isinstance(manifest, Manifest) and all(layer.size >= 0 for layer in manifest.layers):
        size = sum(layer.size for layer in manifest.layers)
    return Item(
        alias, "alias", size, seconds_of(manifest.annotations.get(CREATED)), manifest.digest, manifest.media_type
    )


def _listed_files(graph: Graph, reference: Reference, path: Path, recursive: bool, platform: str | None) -> list[Item]:
    node = _at(artifact(graph, reference, platform), reference, path)
    if not node.is_directory:
        return [_item(graph, _file(path, node))]
    if recursive:
        return [_item(graph, file) for _, file in sorted(_files_below(node, path).items())]
    return [_child_item(graph, name, child, node) for name, child in sorted(node.children(), key=_by_name)]


def _by_name(child: tuple[str, Node]) -> str:
    return child[0]


def _at(node: Node, reference: Reference, path: Path) -> Node:
    """The node at a path below another one."""
    for name in path:
        found = node.lookup(name)
        if found is None:
            raise NothingThere(_no_file(reference, "/".join(path)))
        node = found
    return node


def _child_item(graph: Graph, name: str, child: Node, parent: Node) -> Item:
    """One line of a listing of a directory."""
    stored = child.stored
    if stored is None:
        return Item(name, child.noun)
    if child.is_directory:
        return Item(name, child.noun, None, parent.created, stored.descriptor.digest, stored.descriptor.media_type)
    return _item(graph, _file((name,), child))


def _no_file(reference: Reference, name: str) -> str:
    return f"{reference}: there is no file {name}; to see which there are: regfs ls -R {reference}"


def _item(graph: Graph, file: File) -> Item:
    blob = sized(graph, file).blob
    return Item(file.name, "file", blob.size, file.created, blob.digest, blob.media_type)


def remove_files(graph: Graph, reference: Reference, names: Sequence[str], recursive: bool) -> str:
    """Take files out of an alias, by one manifest for all; returns its digest.

    :param recursive: whether a name may be a directory's
    :raises NothingThere: when the alias does not have one; nothing is removed then
    :raises NotPossible: for a directory, unless it may be one; for a digest
    :raises Refused: for an alias whose files cannot be changed
    """
    repository, alias = _named(reference)
    require_alias(reference)
    editable(f"{repository}:{alias}", manifest_of(graph, reference))
    files = files_in(graph, reference)
    for name in names:
        if not recursive and path_of(name) not in files and chosen(reference, files, [name]):
            raise NotPossible(f"{name} is a directory; to remove all files in it: -r")
    return graph.publisher.edit(repository, alias, {file.path: None for file in chosen(reference, files, names)})


def delete_alias(graph: Graph, reference: Reference) -> None:
    """Delete an alias, and no other one of the same manifest.

    :raises NothingThere: when there is none
    """
    repository, alias = _named(reference)
    require_alias(reference)
    manifest_of(graph, reference)
    graph.publisher.delete(repository, alias)


def tag(graph: Graph, reference: Reference, aliases: Iterable[str]) -> str:
    """Give what a reference stands for more aliases in its repository, moving no bytes; returns its digest.

    :raises NothingThere: when the registry does not have it
    """
    repository, _ = _named(reference)
    manifest = manifest_of(graph, reference)
    for alias in aliases:
        graph.publisher.tag(repository, manifest, alias)
    return manifest.digest


def require_alias(reference: Reference) -> None:
    """Make sure that a reference names an alias, which can be changed.

    :raises NotPossible: when it names a digest, or none
    """
    _, alias = _named(reference)
    if is_digest(alias):
        raise NotPossible(f"{reference}: a digest stands for the same for ever; name an alias: {_form(reference)}")


def _named(reference: Reference) -> tuple[str, str]:
    if reference.repository is None or reference.alias is None:
        raise NotPossible(f"{reference} names no alias; the form is {_form(reference)}")
    return reference.repository, reference.alias


def _form(reference: Reference) -> str:
    return f"{reference.host}/{reference.repository or 'REPOSITORY'}:ALIAS"


def _above(reference: Reference) -> Reference:
    return replace(reference, alias=None)
