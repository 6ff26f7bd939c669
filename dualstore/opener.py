"""A family that is opened by its first use, once, and closed for good."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from dualstore.assembly import Family, OnMismatch, open_family
from dualstore.errors import ClosedError, InvalidInputError
from dualstore.family import FamilySpec
from dualstore.metrics import Metrics
from dualstore.settings import Settings
from dualstore.terms import VERSION
from dualstore.wiring import Backends, open_backends


class Opener:
    """Call it for the open family. Without backends it opens those of the settings, as its own."""

    def __init__(
        self,
        spec: FamilySpec,
        settings: Settings,
        *,
        backends: Backends | None,
        metrics: Metrics | None,
        on_mismatch: OnMismatch,
    ) -> None:
        if backends is not None and metrics is not None:
            raise InvalidInputError("metrics are told by backends: give them to those")
        self._spec = spec
        self._settings = settings
        self._backends = backends
        self._metrics = metrics
        self._on_mismatch: OnMismatch = on_mismatch
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._family: Family | None = None
        self._closed = False

    async def __call__(self) -> Family:
        """Raises `ClosedError` once it is closed; a failed opening is tried again."""
        if self._family is None:
            async with self._opening:
                if self._closed:
                    raise ClosedError(f"the manager of {self._spec.name!r} is closed")
                if self._family is None:
                    self._family = await self._open()
        return self._family

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, for good."""
        return self._closed

    @property
    def is_open(self) -> bool:
        """Whether a use has opened it."""
        return self._family is not None

    async def close(self) -> None:
        """Close what was opened here. Closing again is nothing."""
        async with self._opening:
            self._closed = True
            self._family = None
            await self._stack.aclose()

    async def _open(self) -> Family:
        async with AsyncExitStack() as stack:
            backends = self._backends
            if backends is None:
                backends = await stack.enter_async_context(
                    open_backends(self._settings, metrics=self._metrics)
                )
            images = backends.embedder.takes_images
            spec = replace(self._spec, analyzer=VERSION, images=images)
            family = await stack.enter_async_context(
                open_family(spec, backends, self._settings, on_mismatch=self._on_mismatch)
            )
            self._stack = stack.pop_all()
            return family
