"""Compressed streams: a scan unpacks all of one and notes points; an unpacker begins at one of these.

Each format is one file, with a scan and an unpacker. Knows no tar.
"""
