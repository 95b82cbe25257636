"""A registry that has repositories under other names: a mirror below a path, or a place that stands for another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regfs.registry.config.mirrors import Mirror
from regfs.registry.http.pooled import PooledDXF
from regfs.registry.http.remote import Remote
from regfs.registry.http.transport import NOT_FOUND, HTTPError, PooledTransport, Response


class _Absent(PooledDXF):
    """A repository that the registry does not have; nobody is asked for it."""

    def _base_request(self, method: str, path: str, headers: dict[str, str] | None = None, **kwargs: Any) -> Response:
        response = Response()
        response.status_code, response.url = NOT_FOUND, path
        raise HTTPError(f"{self._repo} is not there", response=response)


class RenamedRemote(Remote):
    """One registry, asked for other names than it is asked by.

    :param place: says which names it has for which repositories
    """

    def __init__(self, host: str, insecure: bool, transport: PooledTransport, place: Mirror) -> None:
        super().__init__(host, insecure, transport)
        self.place = place

    def _dxf(self, repository: str) -> PooledDXF:
        name = self.place.name_of(repository) if repository else ""
        if name is not None:
            return super()._dxf(name)
        return _Absent(self.host, repository, insecure=self._insecure)


class LocatedRemote(Remote):
    """One registry, some or all of whose repositories are in other places.

    :param places: the other places; no repository is in two of them
    """

    def __init__(
        self,
        host: str,
        insecure: bool,
        transport: PooledTransport,
        mirrors: Sequence[Remote],
        places: Sequence[RenamedRemote],
    ) -> None:
        super().__init__(host, insecure, transport, mirrors)
        self._places = places

    def _dxf(self, repository: str) -> PooledDXF:
        for remote in self._places:
            if remote.place.name_of(repository) is not None:
                return remote._dxf(repository)
        return super()._dxf(repository)

    def repositories(self) -> list[str] | None:
        """The names in the catalog that is asked, as they are here; None where there is none."""
        names = super().repositories()
        below = next((remote.place.below for remote in self._places if not remote.place.covers), "")
        if names is None or not below:
            return names
        return [name.removeprefix(f"{below}/") for name in names if name.startswith(f"{below}/")]

    def close(self) -> None:
        """Close every connection."""
        super().close()
        for remote in self._places:
            remote.close()
