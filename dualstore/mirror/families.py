"""The four families that a remote's things live in."""

from typing import NamedTuple

from dualstore.manager import DualStoreManager


class Families(NamedTuple):
    """Their managers."""

    sessions: DualStoreManager
    messages: DualStoreManager
    events: DualStoreManager
    tasks: DualStoreManager
