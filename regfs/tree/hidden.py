"""What the hidden directories have in common: no listing shows them, and who names them can look into them."""

from __future__ import annotations

from dataclasses import dataclass

from regfs.tree.attributes import Attributes, Kind
from regfs.tree.context import Context
from regfs.tree.node import Directory


@dataclass(frozen=True, eq=False)
class HiddenDirectory(Directory):
    """Read-only, unless its kind says otherwise."""

    context: Context
    repository: str

    def attributes(self) -> Attributes:
        return Attributes(Kind.DIRECTORY, 0, self.context.started_ns, True)
