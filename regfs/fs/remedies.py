"""Every error number that a program can get from a mount: what it means there, and what to do. Pure.

docs/TROUBLESHOOTING.md has the same table.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass


@dataclass(frozen=True)
class Remedy:
    """What an error number means, and what a person can do."""

    cause: str
    remedy: str


_ORDINARY = "Nothing: it is what any file system says."
REMEDIES = {
    errno.ENOENT: Remedy(
        "There is no such file, alias or repository, or the registry hides it from you.",
        "List the directory above it; names are remembered for --ttl seconds. For a private one, log in.",
    ),
    errno.EACCES: Remedy(
        "The registry refuses you (401, 403), or a password would travel over plain HTTP.",
        "Run: regfs login HOST, with a user who may do it; for a registry without TLS on another machine, give it TLS.",
    ),
    errno.EPERM: Remedy(
        "A file would belong to no alias, a repository be removed, a link be made; or the registry does not do it.",
        "Make the alias first: mkdir REPOSITORY:ALIAS, and copy into it.",
    ),
    errno.EROFS: Remedy(
        "The mount is read-only, or it is a platform, a multi-platform alias, a signed manifest or a digest.",
        "Mount without --read-only; copy the files into an alias of their own.",
    ),
    errno.EINVAL: Remedy(
        "A name that no repository, alias or file in a registry can have, or bytes of another digest than their name.",
        "Use lowercase letters, digits, '.', '_' and '-' for repositories, the same and uppercase letters for aliases.",
    ),
    errno.ENAMETOOLONG: Remedy("A name of over 255 bytes.", "Use a shorter name."),
    errno.EILSEQ: Remedy("A name that is not UTF-8, which a manifest cannot hold.", "Rename the file: convmv does it."),
    errno.EXDEV: Remedy(
        "A move that the registry cannot do by itself.", "Nothing with mv, which copies then; a program has to copy."
    ),
    errno.EBUSY: Remedy(
        "The registry asks for patience (429), or a directory is moved in which a file is being written.",
        "Wait and try again; close the file first.",
    ),
    errno.EFBIG: Remedy(
        "The registry takes no blob, or no manifest, of that size (413).",
        "Spread the files over more aliases; raise the limit of the registry, or of the proxy before it.",
    ),
    errno.ENOSPC: Remedy(
        "The disk of the journal or of the cache is full, or the registry's is (507).",
        "Make room: regfs cache prune 1G; look at regfs pending, whose files take room as well.",
    ),
    errno.EDQUOT: Remedy("Your quota of the journal's or the cache's disk is used up.", "As for ENOSPC."),
    errno.EIO: Remedy(
        "The registry failed (5xx), cut the transfer, or sent bytes that are not those of their digest.",
        "Try again; when it stays, the log has the reason, and the registry's own log more. A failed write is kept: "
        "regfs pending.",
    ),
    errno.ETIMEDOUT: Remedy(
        "The registry did not answer in time.",
        "Try again; look at the network; raise --timeout. A failed write is kept.",
    ),
    errno.EHOSTUNREACH: Remedy(
        "The registry cannot be reached.",
        "Look at the network, the VPN and the registry. A failed write is kept: regfs push-pending when it is back.",
    ),
    errno.EPROTO: Remedy(
        "TLS failed: a certificate that nobody vouches for, has run out, or is of another host.",
        "Mount with --ca-file, or renew the certificate.",
    ),
    errno.ECANCELED: Remedy("The mount is being unmounted.", "Mount it again."),
    errno.ENOTCONN: Remedy(
        "The process of the mount has gone: it was killed, or it crashed.",
        "Mount again on the same directory, which heals it; then run: regfs pending.",
    ),
    errno.ENOTSUP: Remedy(
        "An extended attribute cannot be set or removed: a registry does not keep it.",
        "Nothing with cp -a, which goes on; leave out rsync -X.",
    ),
    errno.ENODATA: Remedy("It has no such extended attribute.", _ORDINARY),
    errno.EEXIST: Remedy("It exists.", _ORDINARY),
    errno.ESTALE: Remedy("The file went, came, and went again while it was opened.", "Try again."),
    errno.ENOTEMPTY: Remedy("The directory is not empty.", _ORDINARY),
    errno.EISDIR: Remedy("It is a directory.", _ORDINARY),
    errno.ENOTDIR: Remedy("It is not a directory.", _ORDINARY),
    errno.EBADF: Remedy("The file is not open, or not open for that.", _ORDINARY),
}


def remedy_of(number: int) -> str | None:
    """What to do about an error number; None for one that is not known."""
    known = REMEDIES.get(number)
    return None if known is None else known.remedy
