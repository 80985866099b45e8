"""A site's folder: what every party has (``common.vault.folder``), and the site's desensitisation key."""

from __future__ import annotations

import datetime
from typing import Final

from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.vault.folder import PartyFolder

_YEARS: Final = 10
"""For how long after the key's year the dates that it encrypts may lie."""


class SiteFolder(PartyFolder):
    """A site's folder, open; see ``PartyFolder``."""

    @property
    def site_id(self) -> str:
        """Of the ledger's genesis."""
        return self.party_id

    @property
    def scrub_keys(self) -> ScrubKeys:
        """The key of the site's desensitisation."""
        return ScrubKeys(secret=self.keystore.scrub.secret, site_id=self.site_id, key_id=self._scrub_id)

    @property
    def scrub_descriptor(self) -> KeyDescriptor:
        """What must agree before a column is encrypted or restored with ``scrub_keys``."""
        created = datetime.datetime.fromtimestamp(self.keystore.scrub.created_at_ms / 1000, datetime.UTC).date()
        last = datetime.date(created.year + _YEARS, 12, 31)
        return KeyDescriptor(
            key_id=self._scrub_id, site_id=self.site_id, created=created.isoformat(), not_after=last.isoformat()
        )

    @property
    def _scrub_id(self) -> str:
        return f"k{self.keystore.scrub.epoch}"


__all__ = ["SiteFolder"]
