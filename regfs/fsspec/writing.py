"""The half of the file system that changes files: written, copied, moved, removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.callbacks import DEFAULT_CALLBACK

from regfs.fsspec.reading import ReadingFileSystem
from regfs.fsspec.transaction import RegistryTransaction
from regfs.library.sessions import split_location
from regfs.library.streams import WriteStream

if TYPE_CHECKING:
    from regfs.library.changes import Changes
    from regfs.library.files import Files


class RegistryFileSystem(ReadingFileSystem):
    """Container registries as an fsspec file system.

    :param storage_options: the fields of :class:`regfs.Access`: ``username``, ``password``, ``token``, ``anon``,
        ``insecure``, ``ssl_verify``, ``ca_file``, ``cache_dir``, ``ttl`` and others
    :raises TypeError: for an option that is none
    """

    transaction_type = RegistryTransaction

    def _open(self, path: str, mode: str = "rb", autocommit: bool = True, **kwargs: Any) -> Any:
        if mode == "rb":
            return super()._open(path, mode)
        with self._at(path) as (files, parts):
            return files.write(parts, mode, path, deferred=not autocommit)

    @contextmanager
    def _changing(
        self, path: str, changes: dict[str, Changes] | None
    ) -> Iterator[tuple[Files, tuple[str, ...], Changes]]:
        """Yield where to note changes: with those of a larger operation, else they are made at the end.

        :param changes: of the larger operation, by registry
        """
        with self._at(path) as (files, parts):
            if changes is None:
                own = files.changes()
                yield files, parts, own
                own.commit()
                return
            host = split_location(path)[0]
            if host not in changes:
                changes[host] = files.changes()
            yield files, parts, changes[host]

    @contextmanager
    def _together(self) -> Iterator[dict[str, Changes]]:
        """Yield changes of several files by registry; at the end each tag gets one manifest."""
        from regfs.library.errors import raising_os_errors

        changes: dict[str, Changes] = {}
        yield changes
        for host, made in changes.items():
            with raising_os_errors(host):
                made.commit()

    def publish(self, writers: list[WriteStream]) -> None:
        """Name what was written, in one manifest for each tag. Called by transactions."""
        with self._together() as changes:
            for writer in writers:
                with self._changing(writer.path, changes) as (files, parts, made):
                    files.put_staged(made, parts, writer.staged)

    def pipe_file(
        self,
        path: str,
        value: bytes,
        mode: str = "overwrite",
        changes: dict[str, Changes] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a file."""
        path = self._strip_protocol(path)
        if mode == "create" and self.exists(path):
            raise FileExistsError(17, "exists", path)
        if self._intrans:
            with self.open(path, "wb") as file:
                file.write(value)
            return
        with self._changing(path, changes) as (files, parts, made):
            files.put(made, parts, bytes(value))

    def pipe(self, path: Any, value: bytes | None = None, **kwargs: Any) -> None:
        """Write a file, or several, by one manifest for each tag."""
        if not isinstance(path, dict):
            super().pipe(path, value, **kwargs)
            return
        with self._together() as changes:
            for one, content in path.items():
                self.pipe_file(one, content, changes=changes, **kwargs)

    def put_file(self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite",
                 changes: dict[str, Changes] | None = None, **kwargs: Any) -> None:  # fmt: skip
        """Write a local file, or make a directory."""
        rpath = self._strip_protocol(rpath)
        if mode == "create" and self.exists(rpath):
            raise FileExistsError(17, "exists", rpath)
        local = Path(lpath)
        if local.is_dir():
            self.makedirs(rpath, exist_ok=True)
        elif self._intrans:
            super().put_file(lpath, rpath, callback, mode, **kwargs)
        else:
            size = local.stat().st_size
            callback.set_size(size)
            with self._changing(rpath, changes) as (files, parts, made):
                files.put_local(made, parts, str(local))
            callback.relative_update(size)

    def put(self, lpath: Any, rpath: Any, recursive: bool = False, **kwargs: Any) -> None:
        """Write local files: several are pushed in parallel, and named by one manifest for each tag."""
        with self._together() as changes:
            super().put(lpath, rpath, recursive=recursive, changes=changes, **kwargs)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Make an empty file; an existing one is emptied, unless *truncate* is false."""
        if truncate or not self.exists(path):
            self.pipe_file(path, b"")

    def cp_file(self, path1: str, path2: str, changes: dict[str, Changes] | None = None, **kwargs: Any) -> None:
        """Give a file a second path. No bytes move inside of a registry that mounts blobs."""
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if split_location(path1)[0] != split_location(path2)[0]:
            self._copy_to_other_registry(path1, path2)
            return
        with self._at(path1) as (_, source), self._changing(path2, changes) as (files, goal, made):
            files.copy(made, source, goal)

    def _copy_to_other_registry(self, path1: str, path2: str) -> None:
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        with self.open(path1, "rb") as source, self.open(path2, "wb", autocommit=True) as goal:
            while data := source.read(self.blocksize):
                goal.write(data)

    def copy(self, path1: Any, path2: Any, recursive: bool = False, **kwargs: Any) -> None:
        """Copy files, by one manifest for each tag."""
        with self._together() as changes:
            super().copy(path1, path2, recursive=recursive, changes=changes, **kwargs)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move files. No bytes move inside of a registry that mounts blobs; a tag is retagged."""
        if not self._renamed(path1, path2, recursive, maxdepth):
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)

    def _renamed(self, path1: Any, path2: Any, recursive: bool, maxdepth: int | None) -> bool:
        """Rename a file, or a directory to what does not exist; returns whether that was asked for, and possible."""
        if not isinstance(path1, str) or not isinstance(path2, str) or maxdepth is not None:
            return False
        old, new = self._strip_protocol(path1), self._strip_protocol(path2)
        if old == new or path2.endswith("/") or split_location(old)[0] != split_location(new)[0] or self.isdir(new):
            return False
        if not self.isfile(old) and not (recursive and self.isdir(old)):
            return False
        with self._at(old) as (files, source):
            return files.rename(source, split_location(new)[1])

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        self.rm(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, by one manifest for each tag. With *recursive* a directory, or a tag as a whole."""
        deep = recursive and maxdepth is None
        paths = self.expand_path(path) if deep else self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        with self._together() as changes:
            for one in paths:
                if deep or not (recursive and self.isdir(one)):
                    with self._changing(one, changes) as (files, parts, made):
                        files.remove(made, parts, recursive)

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a directory. A registry keeps no empty ones: it is in this process until a file lands in it.

        :raises FileExistsError: when it exists
        """
        path = self._strip_protocol(path)
        if not create_parents and not self.isdir(self._parent(path)):
            raise FileNotFoundError(2, "no such directory", self._parent(path))
        self.makedirs(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a directory and those above it.

        :raises FileExistsError: when it exists, unless *exist_ok*
        """
        path = self._strip_protocol(path)
        if not path:
            return
        with self._at(path) as (files, parts):
            if not files.make_directories(parts) and not exist_ok:
                raise FileExistsError(17, "exists", path)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory; of a tag without files, the tag."""
        with self._at(self._strip_protocol(path)) as (files, parts):
            files.remove_directory(parts)
