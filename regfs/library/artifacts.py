"""What a registry, a repository or an alias holds, and what is done to aliases from outside of a mount.

An alias is always asked for, and never served stale. No blob is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from regfs.oci.edits import editable
from regfs.oci.manifest import Descriptor, Index, Manifest
from regfs.oci.reference import Reference, is_digest
from regfs.oci.titles import Path
from regfs.session import Graph
from regfs.tree.node import Node
from regfs.tree.walk import at, files_below


class NothingThere(Exception):
    """The registry does not have what was asked for; the text says so in one line."""


class NotPossible(Exception):
    """What was asked for cannot be done; the text says why, and what to do, in one line."""


@dataclass(frozen=True)
class File:
    """A file of an alias.

    :param path: its title, below the platform's name where an alias has several
    :param created: seconds since the epoch, where the manifest says
    :param packed: its node when it is a directory that was packed into the blob
    """

    repository: str
    path: Path
    blob: Descriptor
    created: int | None = None
    packed: Node | None = None

    @property
    def name(self) -> str:
        """Its path as it is written."""
        return "/".join(self.path)


def manifest_of(graph: Graph, reference: Reference, *, mirrored: bool = False) -> Manifest | Index:
    """What an alias, or a digest, stands for at this moment.

    :param mirrored: whether a mirror may answer; not who is about to change it
    :raises NothingThere: when the registry does not have it
    """
    repository, alias = _named(reference)
    catalog = graph.catalog
    found = (
        catalog.manifest(repository, alias)
        if is_digest(alias)
        else catalog.current(repository, alias, mirrored=mirrored)
    )
    if found is None:
        raise NothingThere(f"{reference}: there is no such tag; to see the tags: regfs ls {_above(reference)}")
    return found


def files_in(graph: Graph, reference: Reference, platform: str | None = None) -> dict[Path, File]:
    """The files of an alias by their paths.

    :param platform: of a multi-platform alias, only this one, as ``os-arch[-variant]``; else each is a directory
    :raises NothingThere: when the registry does not have it
    """
    return files_at(artifact(graph, reference, platform))


def files_at(node: Node, path: Path = ()) -> dict[Path, File]:
    """The files below a node by their paths."""
    with found_by_index():
        return {there: file_of(there, found) for there, found in files_below(node, path)}


def node_at(graph: Graph, reference: Reference, name: str, platform: str | None = None) -> Node:
    """What is at a path in an alias, also in the hidden directory and inside archives; links there are followed.

    :raises NothingThere: when nothing is
    """
    found = at(artifact(graph, reference, platform), path_of(name))
    if found is None:
        raise NothingThere(no_file(reference, name))
    return found


def artifact(graph: Graph, reference: Reference, platform: str | None = None) -> Node:
    """The node of what an alias, or a digest, stands for at this moment.

    :param platform: of a multi-platform alias, only this one, as ``os-arch[-variant]``; else each is a directory
    :raises NothingThere: when the registry does not have it
    """
    repository, alias = _named(reference)
    top = graph.tree.artifact(repository, alias, manifest_of(graph, reference, mirrored=True))
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


def file_of(path: Path, node: Node) -> File:
    """The file that a node is.

    :raises NotPossible: when its bytes are no blob
    """
    stored = node.stored
    if stored is None:
        raise NotPossible(f"{'/'.join(path)} is no blob")
    return File(stored.repository, path, stored.descriptor, node.created, node if node.is_packed else None)


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
            raise NothingThere(no_file(reference, name))
        found.update((file.path, file) for file in below)
    return list(found.values())


def no_file(reference: Reference, name: str) -> str:
    """What to say of a name that is no file or directory of an alias."""
    return f"{reference}: there is no file {name}; to see which there are: regfs ls -R {reference}"


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
        file = files.get(path_of(name))
        if not recursive and (file is None or file.packed) and chosen(reference, files, [name]):
            raise NotPossible(f"{name} is a directory; to remove all files in it: -r")
    return graph.tags.edit(repository, alias, {file.path: None for file in chosen(reference, files, names)})


def delete_alias(graph: Graph, reference: Reference) -> None:
    """Delete an alias, and no other one of the same manifest.

    :raises NothingThere: when there is none
    """
    repository, alias = _named(reference)
    require_alias(reference)
    manifest_of(graph, reference)
    graph.tags.delete(repository, alias)


def tag(graph: Graph, reference: Reference, aliases: Iterable[str]) -> str:
    """Give what a reference stands for more aliases in its repository, moving no bytes; returns its digest.

    :raises NothingThere: when the registry does not have it
    """
    repository, _ = _named(reference)
    manifest = manifest_of(graph, reference)
    for alias in aliases:
        graph.tags.tag(repository, manifest, alias)
    return manifest.digest


def require_alias(reference: Reference) -> None:
    """Make sure that a reference names an alias, which can be changed.

    :raises NotPossible: when it names a digest, or none
    """
    _, alias = _named(reference)
    if is_digest(alias):
        raise NotPossible(f"{reference}: a digest stands for the same for ever; name an alias: {form(reference)}")


def _named(reference: Reference) -> tuple[str, str]:
    if reference.repository is None or reference.alias is None:
        raise NotPossible(f"{reference} names no alias; the form is {form(reference)}")
    return reference.repository, reference.alias


def form(reference: Reference) -> str:
    """How a reference of an alias is written."""
    return f"{reference.host}/{reference.repository or 'REPOSITORY'}:ALIAS"


def _above(reference: Reference) -> Reference:
    return replace(reference, alias=None)
