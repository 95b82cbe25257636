"""Streams that are compressed: a scan that unpacks all of one once and notes points, and unpackers that begin at a point.

Each format is one file, with a scan and an unpacker. Knows no tar.
"""
