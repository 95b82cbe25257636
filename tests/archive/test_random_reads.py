"""Whatever a well-formed archive holds, a read through the index is what tarfile says, at any offset."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.archive.making import archive_of
from tests.archive.test_gzip_points import text
from tests.contents import content_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": lambda data: gzip.compress(data, 6),
    "members": lambda data: gzip.compress(data[: len(data) // 3]) + gzip.compress(data[len(data) // 3 :], 1),
    "zstd": lambda data: zstd.compress(data),
    "frames": lambda data: b"".join(
        zstd.compress(data[start : start + 60_000]) for start in range(0, len(data), 60_000)
    ),
}


def packed(sizes: list[int], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for number, size in enumerate(sizes):
            info = tarfile.TarInfo(f"{'d' * (number * 37 % 150)}/{number}")
            info.size = size
            archive.addfile(info, io.BytesIO(text(size, number) if number % 3 else content_of(size)))
    return buffer.getvalue()


@pytest.mark.parametrize("packer", list(PACKERS))
@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(0, 120_000), min_size=1, max_size=5),
    form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    reads=st.lists(st.tuples(st.integers(0, 130_000), st.integers(0, 60_000)), min_size=1, max_size=6),
)
def test_reads_are_those_of_tarfile(packer: str, sizes: list[int], form: int, reads: list[tuple[int, int]]) -> None:
    data = packed(sizes, form)
    archive = archive_of(PACKERS[packer](data), span=50_000)
    with tarfile.open(fileobj=io.BytesIO(data)) as expected:
        for number, info in enumerate(expected):
            file = expected.extractfile(info)
            assert file is not None
            whole, reader = file.read(), archive.open(number)
            assert archive.listing.name(number) == info.name
            for offset, length in reads:
                assert reader.read(offset, length) == whole[offset : offset + length]
