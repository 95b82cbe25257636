"""The entries of one archive, kept lean: a column of numbers for each field, about 100 bytes an entry in all.

A listing is what an index file stores, and what a merged root is made from. Knows no format.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from regfs.archive.entry import Entry, Kind, Segment, Xattrs, decode_name, encode_name
from regfs.archive.errors import ArchiveLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regfs.archive.limits import Limits

_SEGMENT_BYTES = 24
_NO_DEVICE = (0, 0)


@dataclass(frozen=True, slots=True)
class Rarity:
    """What few entries have."""

    xattrs: Xattrs = ()
    device: tuple[int, int] = _NO_DEVICE
    segments: tuple[Segment, ...] | None = None

    @property
    def memory_bytes(self) -> int:
        """About how much of it there is."""
        attributes = sum(len(name) + len(value) for name, value in self.xattrs)
        return attributes + _SEGMENT_BYTES * len(self.segments or ())


_COMMON = Rarity()


@dataclass(eq=False)
class Listing:
    """Entries by their number, from 0 on, in the order of the archive. Add to it, then share it between threads.

    :param texts: all names and link targets, one after the other
    :param name_ends: where each entry's name ends in *texts*; its link, if any, follows
    """

    kinds: array[int] = field(default_factory=lambda: array("B"))
    modes: array[int] = field(default_factory=lambda: array("H"))
    uids: array[int] = field(default_factory=lambda: array("I"))
    gids: array[int] = field(default_factory=lambda: array("I"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    mtimes: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    name_ends: array[int] = field(default_factory=lambda: array("I"))
    link_ends: array[int] = field(default_factory=lambda: array("I"))
    texts: bytearray = field(default_factory=bytearray)
    rarities: dict[int, Rarity] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.kinds)

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        self.kinds.append(entry.kind)
        self.modes.append(entry.mode)
        self.uids.append(entry.uid)
        self.gids.append(entry.gid)
        self.sizes.append(entry.size)
        self.mtimes.append(entry.mtime_ns)
        self.offsets.append(entry.offset)
        self.texts += encode_name(entry.name)
        self.name_ends.append(len(self.texts))
        self.texts += encode_name(entry.link)
        self.link_ends.append(len(self.texts))
        if entry.xattrs or entry.segments is not None or entry.device != _NO_DEVICE:
            self.rarities[len(self) - 1] = Rarity(entry.xattrs, entry.device, entry.segments)

    def kind(self, number: int) -> Kind:
        return Kind(self.kinds[number])

    def name(self, number: int) -> str:
        start = self.link_ends[number - 1] if number else 0
        return decode_name(self.texts[start : self.name_ends[number]])

    def link(self, number: int) -> str:
        return decode_name(self.texts[self.name_ends[number] : self.link_ends[number]])

    def entry(self, number: int) -> Entry:
        """Return an entry by its number."""
        rarity = self.rarities.get(number, _COMMON)
        return Entry(
            name=self.name(number),
            kind=self.kind(number),
            size=self.sizes[number],
            mode=self.modes[number],
            uid=self.uids[number],
            gid=self.gids[number],
            mtime_ns=self.mtimes[number],
            link=self.link(number),
            xattrs=rarity.xattrs,
            device=rarity.device,
            offset=self.offsets[number],
            segments=rarity.segments,
        )

    def __iter__(self) -> Iterator[Entry]:
        return map(self.entry, range(len(self)))


class ListingBuilder:
    """Takes entries into a listing, within limits."""

    def __init__(self, limits: Limits) -> None:
        self.listing = Listing()
        self._limits = limits
        self._rare_bytes = 0

    def add(self, entry: Entry) -> None:
        """Append an entry.

        :raises ArchiveLimit: when the archive has too many, or too much in them
        """
        listing = self.listing
        if len(listing) >= self._limits.entries:
            raise ArchiveLimit(f"an archive of more than {self._limits.entries} entries")
        listing.add(entry)
        rarity = listing.rarities.get(len(listing) - 1)
        self._rare_bytes += rarity.memory_bytes if rarity else 0
        if len(listing.texts) + self._rare_bytes > self._limits.listing_bytes:
            raise ArchiveLimit("the names and attributes of an archive are too much")
