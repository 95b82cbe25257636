"""zlib's ``inflate``, called through ctypes, because only it can stop between two blocks. Knows no gzip points.

The standard library's ``zlib`` has no Z_BLOCK. ctypes releases the interpreter's lock during a call.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools

from regfs.archive.errors import CorruptArchive, UnsupportedArchive
from regfs.archive.points import WINDOW_BYTES

OUTPUT_BYTES = 1 << 20
INPUT_BYTES = 1 << 20

_NO_FLUSH, _BLOCK = 0, 5
_OK, _STREAM_END, _BUF_ERROR = 0, 1, -5
_GZIP_BITS = 15 + 16
_BITS_MASK, _LAST_BLOCK, _BLOCK_END = 7, 64, 128


class _Stream(ctypes.Structure):
    """``z_stream`` of zlib.h."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


@functools.cache
def _library() -> ctypes.CDLL:
    """Load zlib: the system's, or the one that the interpreter was linked with.

    :raises UnsupportedArchive: when there is none
    """
    for name in ("libz.so.1", ctypes.util.find_library("z"), None):
        try:
            library = ctypes.CDLL(name)
            library.inflateInit2_.restype = library.inflate.restype = ctypes.c_int
            library.inflateGetDictionary.restype = library.inflateReset.restype = ctypes.c_int
            library.inflateEnd.restype = ctypes.c_int
            library.zlibVersion.restype = ctypes.c_char_p
        except (OSError, AttributeError):
            continue
        return library
    raise UnsupportedArchive("gzip: the library libz.so.1 is missing")


class Inflate:
    """One ``inflate`` of gzip members. Not shared between threads.

    :ivar ended: whether the member's end was reached
    """

    def __init__(self) -> None:
        self._library = _library()
        self._stream = _Stream()
        self._output = ctypes.create_string_buffer(OUTPUT_BYTES)
        self._input = b""
        self.ended = False
        self._at_block = False
        version = self._library.zlibVersion()
        if self._library.inflateInit2_(ctypes.byref(self._stream), _GZIP_BITS, version, ctypes.sizeof(_Stream)):
            raise MemoryError("inflateInit2")

    def __del__(self) -> None:
        if hasattr(self, "_stream"):
            self._library.inflateEnd(ctypes.byref(self._stream))

    def give(self, data: bytes) -> None:
        """Set the next input; the one before has to be used up."""
        self._input = data
        self._stream.next_in = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)
        self._stream.avail_in = len(data)

    @property
    def input_bytes(self) -> int:
        """Bytes of the input that are left."""
        return int(self._stream.avail_in)

    def rest(self) -> bytes:
        """Return the input that is left."""
        return self._input[len(self._input) - self.input_bytes :]

    def run(self, output_bytes: int, to_block: bool) -> memoryview:
        """Unpack, and return what came out. It is overwritten by the next call.

        :param output_bytes: at most, up to OUTPUT_BYTES
        :param to_block: stop where a block ends
        :raises CorruptArchive: when the input is not gzip
        """
        stream = self._stream
        stream.next_out = ctypes.addressof(self._output)
        stream.avail_out = output_bytes
        status = self._library.inflate(ctypes.byref(stream), _BLOCK if to_block else _NO_FLUSH)
        if status not in (_OK, _STREAM_END, _BUF_ERROR):
            raise CorruptArchive(f"gzip: {(stream.msg or b'the stream is corrupt').decode('ascii', 'replace')}")
        self.ended = status == _STREAM_END
        self._at_block = to_block and bool(stream.data_type & _BLOCK_END) and not stream.data_type & _LAST_BLOCK
        return memoryview(self._output).cast("B")[: output_bytes - stream.avail_out]

    @property
    def at_block(self) -> bool:
        """Whether the last call stopped between two blocks of one member."""
        return self._at_block and not self.ended

    @property
    def unused_bits(self) -> int:
        """Bits of the last byte of input that are not used yet."""
        return int(self._stream.data_type) & _BITS_MASK

    def window(self) -> bytes:
        """Return the output that what follows may repeat, at most WINDOW_BYTES."""
        window = ctypes.create_string_buffer(WINDOW_BYTES)
        length = ctypes.c_uint()
        self._library.inflateGetDictionary(ctypes.byref(self._stream), window, ctypes.byref(length))
        return window.raw[: length.value]

    def next_member(self) -> None:
        """Begin with the next member."""
        self._library.inflateReset(ctypes.byref(self._stream))
        self.ended = False
