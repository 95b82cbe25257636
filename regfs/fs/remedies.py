"""Every error number that a program can get from a mount: its cause and its remedy. Pure.

docs/TROUBLESHOOTING.md has the same table.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass


@dataclass(frozen=True)
class Remedy:
    """Cause and remedy of an error number."""

    cause: str
    remedy: str


_ORDINARY = "Nothing: every file system has this error."
REMEDIES = {
    errno.ENOENT: Remedy(
        "The file, tag or repository does not exist, or the registry hides it from you.",
        "List the directory above it; regfs remembers names for --ttl seconds. Log in if the repository is private.",
    ),
    errno.EACCES: Remedy(
        "The registry denied the request (401, 403), or a password would travel over plain HTTP.",
        "Run: regfs login HOST, as a user with the permission. A password travels to another machine only over TLS.",
    ),
    errno.EPERM: Remedy(
        "A registry cannot keep a file outside a tag, remove a repository or make a link; or it refused this (405).",
        "Make the tag first: mkdir REPOSITORY:TAG, and copy into it.",
    ),
    errno.EROFS: Remedy(
        "The mount is read-only, or the path is a platform, a multi-platform tag, a signed manifest or a digest.",
        "Mount without --read-only; copy the files into another tag.",
    ),
    errno.EINVAL: Remedy(
        "No repository, tag or file can have this name, or the bytes do not match the digest in their name.",
        "Use lowercase letters, digits, '.', '_' and '-' in repository names; in tags also uppercase letters.",
    ),
    errno.ENAMETOOLONG: Remedy("The name has more than 255 bytes.", "Use a shorter name."),
    errno.EILSEQ: Remedy(
        "The name is not UTF-8. A manifest cannot hold it.",
        "Rename the file, for example with convmv.",
    ),
    errno.EXDEV: Remedy(
        "The registry cannot do this move by itself.",
        "Nothing with mv: it copies the files. Other programs have to copy them.",
    ),
    errno.EBUSY: Remedy(
        "The registry rate-limits requests (429), or a directory was moved while a file in it was being written.",
        "Wait and try again; close the file first.",
    ),
    errno.EFBIG: Remedy(
        "The registry accepts no blob, or no manifest, of this size (413).",
        "Spread the files over more tags; raise the limit of the registry, or of the proxy in front of it.",
    ),
    errno.ENOSPC: Remedy(
        "The disk of the journal, of the cache, or of the registry (507) is full.",
        "Free space: regfs cache prune 1G. Files that regfs pending lists take space, too.",
    ),
    errno.EDQUOT: Remedy("Your quota on the disk of the journal or the cache is used up.", "As for ENOSPC."),
    errno.EIO: Remedy(
        "The registry failed (5xx), cut the transfer, or sent bytes that do not match their digest.",
        "Try again. If it fails again, read the log for the reason, then the registry's own log. regfs keeps "
        "a failed write: regfs pending.",
    ),
    errno.ETIMEDOUT: Remedy(
        "The registry did not answer in time.",
        "Try again; check the network; raise --timeout. regfs keeps a failed write: regfs pending.",
    ),
    errno.EHOSTUNREACH: Remedy(
        "The registry is unreachable.",
        "Check the network, the VPN and the registry. regfs keeps a failed write; when the registry is back, "
        "run: regfs push-pending.",
    ),
    errno.EPROTO: Remedy(
        "TLS failed: the certificate is not trusted, has expired, or is for another host.",
        "Mount with --ca-file, or renew the certificate.",
    ),
    errno.ECANCELED: Remedy("The mount is being unmounted.", "Mount it again."),
    errno.ENOTCONN: Remedy(
        "The process of the mount is gone: it was killed, or it crashed.",
        "Mount the same directory again, which repairs it; then run: regfs pending.",
    ),
    errno.ENOTSUP: Remedy(
        "An extended attribute cannot be set or removed: a registry does not keep it.",
        "Nothing with cp -a: it continues. Leave out rsync -X.",
    ),
    errno.ENODATA: Remedy("The file has no such extended attribute.", _ORDINARY),
    errno.ERANGE: Remedy("The extended attribute is longer than the room that the program has for it.", _ORDINARY),
    errno.ENOSYS: Remedy(
        "The mount does not have this operation.", "Nothing: the kernel, or the program, does without."
    ),
    errno.EEXIST: Remedy("The path already exists.", _ORDINARY),
    errno.ESTALE: Remedy("The file was removed, created and removed again while it was opened.", "Try again."),
    errno.ENOTEMPTY: Remedy("The directory is not empty.", _ORDINARY),
    errno.EISDIR: Remedy("The path is a directory.", _ORDINARY),
    errno.ENOTDIR: Remedy("The path is not a directory.", _ORDINARY),
    errno.EBADF: Remedy("The file is not open, or not open for this.", _ORDINARY),
}


def remedy_of(number: int) -> str | None:
    """Return the remedy of an error number; None if it is not in the table."""
    known = REMEDIES.get(number)
    return None if known is None else known.remedy
