"""Views made as a test asks for them, each with directories of its own, and closed when it ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tests.scenarios.views import Mounted, View

AnyView = TypeVar("AnyView", bound=View)
Mount = Callable[..., Mounted]
NewView = Callable[..., View]


@contextmanager
def making(
    kind: Callable[..., AnyView],
    directory: Path,
    during: Callable[[AnyView], AbstractContextManager[object]] = closing,
    **defaults: object,
) -> Iterator[Callable[..., AnyView]]:
    """What makes views: of a reference, with options as ``regfs mount`` names them.

    With the same *directory* the cache and the journal of two views are the same.

    :param directory: has those of the views for which no directory is named
    :param during: the context in which each view is; it closes the view
    :param defaults: options of every view
    """
    numbers = itertools.count()

    def make(reference: str, directory_of_view: Path | None = None, **options: object) -> AnyView:
        view = kind(directory_of_view or directory / f"view{next(numbers)}", reference, **{**defaults, **options})
        views.enter_context(during(view))
        return view

    with ExitStack() as views:
        yield make


@contextmanager
def closing_whatever_is_left(view: View) -> Iterator[None]:
    """Closes a view; files that were not pushed are the test's business."""
    try:
        yield
    finally:
        with suppress(AssertionError):
            view.close()
