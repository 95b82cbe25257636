"""Through all that is below a node."""

from __future__ import annotations

from collections.abc import Iterator

from regfs.archive.errors import CorruptArchive
from regfs.oci.titles import Path
from regfs.tree.node import Node

_LINKS_MAX = 40  # as Linux has it, path_resolution(7)


def files_below(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Yield what is no directory, depth first, by its path from *node*. The hidden directories are not met.

    A directory that is one layer is yielded itself: to look into it would download it.

    :raises OSError: ENOENT where a directory is listed whose content the registry does not have
    """
    for name, child in node.children():
        if child.is_directory and not child.is_packed:
            child.require_complete()
            yield from files_below(child, (*path, name))
        else:
            yield (*path, name), child


def at(node: Node, path: Path) -> Node | None:
    """Return what is at a path from *node*; symbolic links in an archive are followed, and do not lead out of it.

    :raises CorruptArchive: when there are too many of them
    """
    way: list[Node] = [node]
    rest, links = list(reversed(path)), 0
    while rest:
        name = rest.pop()
        if name == "..":
            if not way[-1].is_archive_root and len(way) > 1:
                way.pop()
            continue
        if name in ("", "."):
            continue
        found = way[-1].lookup(name)
        if found is None:
            return None
        link = None if found.is_directory else found.attributes().link_target
        if link is None:
            way.append(found)
            continue
        links += 1
        if links > _LINKS_MAX:
            raise CorruptArchive(f"too many symbolic links: {'/'.join(path)}")
        if link.startswith("/"):
            while not way[-1].is_archive_root and len(way) > 1:
                way.pop()
        rest.extend(reversed(link.split("/")))
    return way[-1]
