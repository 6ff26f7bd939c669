"""What a conversation was before its log. It is written once, and never touched again."""

from typing import Final

from dualstore.conversations.coding import Prepared, Ref
from dualstore.conversations.doors import imported
from dualstore.conversations.payloads import Payloads
from dualstore.conversations.scope import LogName
from dualstore.errors import EntryError, StorageCorruptError
from dualstore.values import from_json

_OWNER: Final = "snapshot"


class Snapshots:
    """Keeps them beside the logs, as entries that are still to be written."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads

    async def keep(self, log: str, snapshot: Prepared) -> Ref:
        """Write it down, before the card that names it."""
        return await self._payloads.keep(log, _OWNER, snapshot.payload)

    async def load(self, log: str, ref: Ref) -> Prepared:
        """The entry that it becomes in its log, always the same one."""
        text = await self._payloads.load(log, ref)
        try:
            return imported(import_id(log), from_json(text))
        except (ValueError, TypeError, EntryError) as error:
            raise StorageCorruptError(f"the snapshot of {log!r} can't be read back") from error


def import_id(log: str) -> str:
    """The id of the entry that a snapshot becomes."""
    return f"imported:{LogName.parse(log).incarnation}"
