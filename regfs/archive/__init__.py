"""Formats and random access: tars, gzip and zstd, zips, tables of contents, and the directories that layers make.

Pure over a blob reader: it knows no registry, no cache, no FUSE, and imports no other room. Its parts, each of which
knows those above it only:

- ``reader``: bytes at offsets, which is all that is asked of a blob. ``errors``, ``limits``, ``entry``, ``listing``
- ``tar``, ``compression``: the formats; ``points``: places from which a stream can be unpacked
- ``build``, ``index``, ``index_file``: one pass over a blob, and the file that keeps what it found out
- ``pool``, ``unpacked``, ``verified``: bytes in the middle of a blob
- ``archive``, ``zip``, ``toc``: archives that can be listed and opened, whatever their format
- ``rootfs``: the merged root of an image, a layer with its markers, an archive unpacked, a packed directory
"""
