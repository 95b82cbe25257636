"""Where a file is, or is meant to be, in a registry. A pure value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What a written file is meant to be.

    :param alias: the tag; None for a blob that no tag names
    :param title: its path inside the tag
    """

    repository: str
    alias: str | None
    title: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.repository}{f':{self.alias}' if self.alias else ''} {'/'.join(self.title)}"

    def is_beside_or_below(self, other: Target) -> bool:
        """Whether it is in the directory that *other* is in, or in one below that."""
        above = other.title[:-1]
        return (self.repository, self.alias) == (other.repository, other.alias) and self.title[: len(above)] == above
