"""A family that is opened by its first use, once, and closed for good."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from dualstore.assembly import Family, OnMismatch, open_family
from dualstore.family import FamilySpec
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
        on_mismatch: OnMismatch,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._backends = backends
        self._on_mismatch: OnMismatch = on_mismatch
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._family: Family | None = None
        self._closed = False

    async def __call__(self) -> Family:
        """Raises `RuntimeError` once it is closed; a failed opening is tried again."""
        if self._family is None:
            async with self._opening:
                if self._closed:
                    raise RuntimeError(f"the manager of {self._spec.name!r} is closed")
                if self._family is None:
                    self._family = await self._open()
        return self._family

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
                backends = await stack.enter_async_context(open_backends(self._settings))
            images = backends.embedder.takes_images
            spec = replace(self._spec, analyzer=VERSION, images=images)
            family = await stack.enter_async_context(
                open_family(spec, backends, self._settings, on_mismatch=self._on_mismatch)
            )
            self._stack = stack.pop_all()
            return family
