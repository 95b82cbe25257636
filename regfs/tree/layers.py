"""``.oci/layers``: the layers of an image in their order, each as the archive that it is, with its markers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.images import ImageConfig
from regfs.oci.manifest import Manifest
from regfs.tree.archived import ArchiveView
from regfs.tree.hidden import HiddenDirectory
from regfs.tree.node import Node


@dataclass(frozen=True, eq=False)
class LayersDirectory(HiddenDirectory):
    """``01`` is the lowest layer."""

    manifest: Manifest
    config: ImageConfig

    def lookup(self, name: str) -> Node | None:
        numbers = {self._name(number): number for number in range(1, len(self.manifest.layers) + 1)}
        return self._layer(numbers[name]) if name in numbers else None

    def children(self) -> Iterator[tuple[str, Node]]:
        for number in range(1, len(self.manifest.layers) + 1):
            yield self._name(number), self._layer(number)

    def _name(self, number: int) -> str:
        return str(number).zfill(max(2, len(str(len(self.manifest.layers)))))

    def _layer(self, number: int) -> Node:
        layer, archives, repository = self.manifest.layers[number - 1], self.context.archives, self.repository
        view = ArchiveView(
            f"layer {number} {layer.digest}",
            lambda question: question(archives.unpacked(repository, layer, number)),
            self.context.started_ns,
            self.config.created_by,
        )
        return view.root()
