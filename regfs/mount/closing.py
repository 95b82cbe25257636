"""Which programs close a descriptor of a new file before they write to it: see docs/decisions/0010."""

from __future__ import annotations

from pathlib import Path

# Programs that open a file, duplicate the descriptor to the number that they want, and close the first one: shells for
# a redirection, dd and touch. Seen in the FLUSH requests of each. No shell minds what close says; dd and touch close
# once more.
_CLOSING_FIRST = frozenset(
    {"bash", "sh", "dash", "zsh", "fish", "ksh", "ksh93", "mksh", "ash", "busybox", "csh", "tcsh", "dd", "touch"}
)


def closes_first(process: int) -> bool:
    """Whether the program of a process is one that closes a descriptor of a new file before it writes to it.

    Asked when it opens the file, and never when it closes it.
    """
    try:
        return Path(f"/proc/{process}/comm").read_text(errors="replace").rstrip("\n") in _CLOSING_FIRST
    except OSError:
        return False
