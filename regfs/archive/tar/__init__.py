"""The tar format, judged: a header that is cut or corrupt, or a missing end, is an error and never a shorter list.

The standard library's ``tarfile`` ends a listing silently there, and takes global PAX headers for the entries' own.
Source: POSIX.1-2017 pax; the GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".
"""
