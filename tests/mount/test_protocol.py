"""The protocol as bytes: what is agreed on, what is short or wrong, and what the kernel takes."""

from __future__ import annotations

import errno
import struct

import pytest

from regfs.mount.kernel import answers, protocol
from regfs.mount.kernel.adapter import WANTED
from regfs.mount.kernel.protocol import Flag, Malformed, Opcode

LATEST = 0xFFFFFFFF


def header(length: int, opcode: int = Opcode.GETATTR) -> bytes:
    return struct.pack("=IIQQIIII", length, opcode, 7, 1, 0, 0, 99, 0)


def init(major: int = 7, minor: int = 45, low: int = LATEST, high: int | None = LATEST) -> memoryview:
    rest = b"" if high is None else struct.pack("=I44x", high)
    return memoryview(struct.pack("=IIII", major, minor, 131072, low) + rest)


def test_a_request_is_taken_apart() -> None:
    request = protocol.parse(memoryview(header(42, Opcode.LOOKUP) + b"a\0"))
    assert (request.opcode, request.unique, request.node, request.pid) == (Opcode.LOOKUP, 7, 1, 99)
    assert bytes(request.body) == b"a\0"


@pytest.mark.parametrize(
    "message", [b"", b"\0" * 39, header(39), header(41), header(40) + b"more", header(0), header(LATEST)]
)
def test_a_request_of_another_length_than_it_says_is_none(message: bytes) -> None:
    with pytest.raises(Malformed):
        protocol.parse(memoryview(message))


@pytest.mark.parametrize(
    ("body", "number"), [(b"", 1), (b"a", 1), (b"\0", 1), (b"a\0", 2), (b"a\0b", 2), (b"a\0\0", 2), (b"\0a\0", 2)]
)
def test_a_body_without_its_names_is_none(body: bytes, number: int) -> None:
    with pytest.raises(Malformed):
        protocol.names(memoryview(body), number)


def test_names_are_those_of_the_file_system_whatever_their_bytes() -> None:
    assert protocol.names(memoryview("ä\0".encode() + b"\xff\0"), 2) == ["ä", "\udcff"]


@pytest.mark.parametrize("length", range(0, 88, 8))
def test_a_setattr_that_is_cut_is_none(length: int) -> None:
    with pytest.raises(Malformed):
        protocol.changes(memoryview(bytes(length)))


def test_times_before_1970_are_told_apart() -> None:
    body = struct.pack("=IIQQQQqQIIIIIIII", protocol.SetAttr.MTIME, 0, 5, 0, 0, 0, -2, 0, 0, 500, 0, 0, 0, 0, 0, 0)
    changes = protocol.changes(memoryview(body))
    assert (changes.handle, changes.mtime_ns) == (None, -2 * 10**9 + 500)


@pytest.mark.parametrize("count", [2, 1000, LATEST])
def test_a_forget_of_more_nodes_than_it_has_is_none(count: int) -> None:
    with pytest.raises(Malformed):
        list(protocol.forgotten(memoryview(struct.pack("=IIQQ", count, 0, 5, 1))))


def test_forgets_are_taken_apart() -> None:
    body = struct.pack("=IIQQQQ", 2, 0, 5, 1, 6, 3)
    assert list(protocol.forgotten(memoryview(body))) == [(5, 1), (6, 3)]


def test_everything_that_a_new_kernel_offers_and_we_want_is_taken() -> None:
    agreed, answer = protocol.agree(init(), WANTED)
    assert agreed is not None
    assert agreed.flags == WANTED
    assert agreed.max_write == 1 << 20
    assert len(answer) == 64
    assert struct.unpack_from("=I", answer, 36)[0] == 1  # max_stack_depth, without which there is no passthrough


@pytest.mark.parametrize("offered", [0, Flag.ASYNC_READ, Flag.MAX_PAGES | Flag.DO_READDIRPLUS, Flag.INIT_EXT])
def test_nothing_is_taken_that_the_kernel_does_not_offer(offered: int) -> None:
    agreed, answer = protocol.agree(init(low=offered, high=0), WANTED)
    assert agreed is not None
    assert agreed.flags == WANTED & Flag(offered)
    assert struct.unpack_from("=I", answer, 12)[0] == agreed.flags


def test_the_high_half_is_only_there_when_the_kernel_says_so() -> None:
    agreed, answer = protocol.agree(init(low=LATEST & ~Flag.INIT_EXT), WANTED)
    assert agreed is not None
    assert not agreed.flags & Flag.PASSTHROUGH
    assert struct.unpack_from("=I", answer, 32)[0] == 0


def test_an_init_without_the_high_half_is_enough() -> None:
    agreed, _ = protocol.agree(init(minor=12, low=LATEST & ~Flag.INIT_EXT, high=None), WANTED)
    assert agreed is not None
    assert agreed.minor == 12


def test_without_max_pages_a_request_has_128_kib() -> None:
    agreed, _ = protocol.agree(init(low=0, high=0), WANTED)
    assert agreed is not None
    assert agreed.max_write == 128 << 10


def test_an_old_kernel_gets_the_short_answer() -> None:
    assert len(protocol.agree(init(minor=22), WANTED)[1]) == 24
    assert len(protocol.agree(init(minor=23), WANTED)[1]) == 64


def test_a_kernel_of_the_future_is_told_the_version() -> None:
    agreed, answer = protocol.agree(init(major=8), WANTED)
    assert agreed is None
    assert struct.unpack_from("=I", answer)[0] == 7


@pytest.mark.parametrize(("major", "minor"), [(7, 11), (6, 40)])
def test_a_kernel_that_is_too_old_is_refused(major: int, minor: int) -> None:
    with pytest.raises(OSError) as caught:
        protocol.agree(init(major, minor), WANTED)
    assert caught.value.errno == errno.EPROTO


def test_an_init_that_is_cut_is_none() -> None:
    with pytest.raises(Malformed):
        protocol.agree(init()[:15], WANTED)


@pytest.mark.parametrize("name", [b"a", b"1234567", b"12345678", b"x" * 255])
def test_directory_entries_are_aligned(name: bytes) -> None:
    entry = answers.directory_entry(name, 5, 3, 0o040755)
    assert len(entry) % 8 == 0
    assert len(entry) == answers.directory_entry_bytes(len(name))
    assert struct.unpack_from("=QQII", entry) == (5, 3, len(name), 4)


def test_attributes_have_the_kernels_layout() -> None:
    packed = answers.Inode(9, 513, 1_500_000_001, 3, 0o100644, 1, 1000, 100).pack()
    assert struct.unpack("=QQQqqqIIIIIIIIII", packed) == (
        9, 513, 2, 1, 1, 0, 500_000_001, 500_000_001, 3, 0o100644, 1, 1000, 100, 0, 4096, 0,
    )  # fmt: skip


def test_notices_have_the_kernels_layout() -> None:
    assert answers.inval_entry(5, b"name") == struct.pack("=IiQQII", 37, 3, 0, 5, 4, 0) + b"name\0"
    assert answers.inval_inode(5) == struct.pack("=IiQQqq", 40, 2, 0, 5, -1, 0)
