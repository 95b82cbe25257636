"""Blobs on this machine: the verified ones, those on their way, and how far to read ahead. Knows no names."""
