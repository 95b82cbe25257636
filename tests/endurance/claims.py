"""What a writer's lines claim: for each name, which bytes the registry may have, and which must not be lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

from tests.endurance.writer import content_of

Digest = str | None  # None: no file


@lru_cache(maxsize=4096)
def digest_of(token: str) -> str:
    """The digest of a token's bytes."""
    return "sha256:" + hashlib.sha256(content_of(token)).hexdigest()


class Claims:
    """The possible states of the names of one directory; starts with what the registry has.

    ``begun`` are the tokens whose writing has begun, by name; ``whole`` those of which every byte was taken, but whose
    close was not acknowledged.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self._possible: dict[str, set[Digest]] = {name: {digest} for name, digest in known.items()}
        self._renaming: dict[str, str] = {}
        self.begun: dict[str, set[str]] = {}
        self.whole: dict[str, str] = {}

    def follow(self, lines: Iterable[str]) -> None:
        """Take in what one writer said, in order."""
        verb = ""
        for line in lines:
            word, *rest = line.split()
            if word == "failed":
                return
            name, token = rest
            if word == "done":
                self._done(verb, name, token)
            else:
                self._announced(word, name, token)
                verb = verb if word == "closes" else word

    def _announced(self, word: str, name: str, token: str) -> None:
        if word == "closes":
            self.whole[name] = token
            return
        if word == "removes":
            self._may_be(name, None)
            return
        written = f"{name}.part" if word in ("replaces", "renames") else name
        if word == "renames":  # what was written is acknowledged; it has one of two names
            self._possible[written] = {digest_of(token), None}
            self._may_be(name, digest_of(token))
            self._renaming[name] = digest_of(token)
            self.whole.pop(written, None)
        else:
            self._may_be(written, digest_of(token))
            self.begun.setdefault(written, set()).add(token)

    def _done(self, verb: str, name: str, token: str) -> None:
        self._possible[name] = {None if verb == "removes" else digest_of(token)}
        self.whole.pop(name, None)
        if verb == "renames":
            self._possible[f"{name}.part"] = {None}
            self._renaming.pop(name, None)

    def _may_be(self, name: str, digest: Digest) -> None:
        self._possible.setdefault(name, {None}).add(digest)

    def wrong(self, there: Mapping[str, str]) -> list[str]:
        """What is not as it was claimed, in a line each.

        :param there: the digests that the registry has, by name
        """
        found = []
        for name in sorted({*self._possible, *there}):
            possible = self._possible.get(name, {None})
            if there.get(name) not in possible:
                found.append(f"{name} is {there.get(name)}, not one of {sorted(map(str, possible))}")
        for name, digest in self._renaming.items():
            if digest not in (there.get(name), there.get(f"{name}.part")):
                found.append(f"{digest} is under neither of its names, {name} and {name}.part")
        return found
