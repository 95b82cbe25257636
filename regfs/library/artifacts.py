"""What a registry, a repository or an alias holds, and what is done to aliases from outside of a mount.

An alias is always asked for, and never served stale. No blob is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from regfs.exceptions import DXFError
from regfs.oci.manifest import CREATED, Descriptor, Index, InvalidManifest, Manifest
from regfs.oci.reference import Reference, is_alias, is_digest, is_repository
from regfs.session import Graph
from regfs.tree.attributes import seconds_of
from regfs.tree.tree import Path, files_of, platforms_of
from regfs.write.publish import editable

_ASKED_AT_ONCE = 8
_NESTED = 4  # indexes in an index


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
        raise NothingThere(f"{reference}: there is no such tag; to see the tags: regfs ls {_above(reference)}")
    return found


def files_in(graph: Graph, reference: Reference, platform: str | None = None) -> dict[Path, File]:
    """The files of an alias by their paths.

    :param platform: of a multi-platform alias, only this one, as ``os-arch[-variant]``; else each is a directory
    :raises NothingThere: when the registry does not have it
    """
    top = manifest_of(graph, reference)
    repository, _ = _named(reference)
    if platform is not None and isinstance(top, Index) and platform not in platforms_of(top):
        raise NothingThere(f"{reference}: there is no platform {platform}; there are: {', '.join(platforms_of(top))}")
    above = 0 if platform is None else 1  # the platform that was asked for is no directory
    return {
        file.path: file
        for prefix, manifest in manifests_in(graph, repository, top, platform)
        for file in _files(repository, manifest, prefix[above:])
    }


def _files(repository: str, manifest: Manifest, prefix: Path) -> Iterator[File]:
    for path, blob in files_of(manifest).blobs.items():
        yield File(repository, (*prefix, *path), blob, _created(blob, manifest))


def manifests_in(
    graph: Graph, repository: str, top: Manifest | Index, platform: str | None = None, depth: int = _NESTED
) -> Iterator[tuple[Path, Manifest]]:
    """The manifests that an alias stands for, each below the names of its platform; one alone is at ``()``.

    :param platform: of an index, only this one, as ``os-arch[-variant]``
    :param depth: how many indexes may be in each other; what is below that is left out
    :raises NothingThere: when the registry does not have one that an index names
    """
    if isinstance(top, Manifest):
        yield (), top
    elif depth:
        for name, entry in platforms_of(top).items():
            if platform in (None, name):
                child = _child(graph, repository, entry)
                for path, manifest in manifests_in(graph, repository, child, depth=depth - 1):
                    yield (name, *path), manifest


def _child(graph: Graph, repository: str, entry: Descriptor) -> Manifest | Index:
    found = graph.catalog.manifest(repository, entry.digest)
    if found is None:
        raise NothingThere(f"{entry.digest} is not in {repository}, though an index names it")
    return found


def _created(blob: Descriptor | None, manifest: Manifest | Index) -> int | None:
    own = blob.annotations.get(CREATED) if blob is not None else None
    return seconds_of(own or manifest.annotations.get(CREATED))


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
            raise NothingThere(f"{reference}: there is no file {name}; to see which there are: regfs ls -R {reference}")
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
    return Item(alias, "alias", size, _created(None, manifest), manifest.digest, manifest.media_type)


def _listed_files(graph: Graph, reference: Reference, path: Path, recursive: bool, platform: str | None) -> list[Item]:
    top = manifest_of(graph, reference)
    if isinstance(top, Index) and platform is None and not path and not recursive:
        return [
            Item(name, "platform", None, _created(None, top), entry.digest, entry.media_type)
            for name, entry in sorted(platforms_of(top).items())
        ]
    files = files_in(graph, reference, platform)
    wanted = sorted(chosen(reference, files, ["/".join(path)] if path else ()), key=lambda file: file.path)
    if recursive or path in files:
        return [_item(graph, file) for file in wanted]
    return list(_level(graph, wanted, len(path)))


def _level(graph: Graph, files: Iterable[File], depth: int) -> Iterator[Item]:
    """The files, and the directories, of one level."""
    seen: set[str] = set()
    for file in files:
        name = file.path[depth]
        if len(file.path) == depth + 1:
            yield replace(_item(graph, file), name=name)
        elif name not in seen:
            seen.add(name)
            yield Item(name, "directory")


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
