"""Through all that is below a node."""

from __future__ import annotations

from collections.abc import Iterator

from regfs.oci.titles import Path
from regfs.tree.node import Node


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
