"""A site's desensitised records: into its vault, and from there into memory for training.

What is imported takes the place of what was there before: only the final version of the training data stays. The
ledger has the digests of the policy and of the people's ids, and no count beyond the number that the site declares.

Not handled here: reading and desensitising (``intake``, ``clean_records``), and who may delete the records.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fedward.client.intake import Patients, Record
from fedward.client.site_folder import SiteFolder
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.errors import DataError, EmptyDataError
from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.plans import DATASET_IMPORTED, DATASET_REMOVED
from fedward.common.vault.kinds import SITE_DATA, Kind
from fedward.common.vault.roles import Role

TRAIN: Final = "train"
HELDOUT: Final = "heldout"
_SCHEMA = "fedward.records/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """What the ledger is told of an import."""

    account: str
    """Of the budget that the records' people have."""
    nominal_units: int | None = None
    """How many people the site declares; None: it declares nothing."""
    policy: DesensitizePolicy | None = None
    """Under which the records were desensitised; None: they are as they came."""


def import_patients(folder: SiteFolder, patients: Patients, about: Import) -> None:
    """Seal a site's records, in place of those that were there; the ledger has the import when this returns.

    Raises:
        EmptyDataError: nobody to train on.
        VaultError, LedgerError: it cannot be written; the old records are still there.
    """
    if not patients.train:
        raise EmptyDataError("no patient to train on")
    vault, steward = folder.vault, folder.principal(Role.STEWARD)
    superseded = vault.find(Kind.TRAINING, run_id=SITE_DATA)
    parts = {TRAIN: patients.train, HELDOUT: patients.heldout}
    ids = [vault.put(Kind.TRAINING, name, _encoded(groups), principal=steward) for name, groups in parts.items()]
    folder.trail.append([*_removals(folder), _imported(folder, patients, about, ids)])
    for info in superseded:
        vault.delete(info.object_id, principal=steward)


def stored_patients(folder: SiteFolder) -> Patients:
    """The site's records, decrypted into memory; an access of the daemon's, in the ledger.

    Raises:
        EmptyDataError: nothing was imported.
        VaultError, EnvelopeError: they do not open.
    """
    return Patients(train=_decoded(_content(folder, TRAIN)), heldout=_decoded(_content(folder, HELDOUT)))


def _content(folder: SiteFolder, name: str) -> bytes:
    found = folder.vault.find(Kind.TRAINING, name, SITE_DATA)
    if not found:
        raise EmptyDataError("this site has imported no records", hint="Import them first.")
    return folder.vault.read(found[-1].object_id, principal=folder.principal(Role.DAEMON))


def _imported(folder: SiteFolder, patients: Patients, about: Import, ids: list[str]) -> Draft:
    fields: dict[str, Value] = {
        "account": about.account,
        "objects": list(ids),
        "people": _people(folder, patients),
        "policy": "" if about.policy is None else about.policy.digest,
    }
    if about.nominal_units is not None:
        fields["nominal_units"] = about.nominal_units
    return Draft(kind=DATASET_IMPORTED, fields=fields)


def _removals(folder: SiteFolder) -> Iterator[Draft]:
    """Of imports that stand: the new one takes their place."""
    standing = set[int]()
    for entry in folder.trail.entries():
        if entry.kind == DATASET_IMPORTED:
            standing.add(entry.seq)
        elif entry.kind == DATASET_REMOVED and isinstance(seq := entry.fields.get("imported"), int):
            standing.discard(seq)
    return (Draft(kind=DATASET_REMOVED, fields={"imported": seq}) for seq in sorted(standing))


def _people(folder: SiteFolder, patients: Patients) -> str:
    """A digest of the set of ids under the site's key: the same people give the same, and nobody else can try ids."""
    key = folder.scrub_keys.derive("import", "people")
    ids = sorted({group[0].patient_id for group in (*patients.train, *patients.heldout)})
    return hmac.new(key, json.dumps(ids).encode(), hashlib.sha256).hexdigest()


def _encoded(groups: tuple[tuple[Record, ...], ...]) -> bytes:
    rows = [[[record.patient_id, record.text, record.label] for record in group] for group in groups]
    return json.dumps({"schema": _SCHEMA, "patients": rows}, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def _decoded(raw: bytes) -> tuple[tuple[Record, ...], ...]:
    document: Any = json.loads(raw.decode("utf-8", "surrogatepass"))
    if document["schema"] != _SCHEMA:
        raise DataError("the stored records are of another version", hint="Import them again.")
    return tuple(
        tuple(Record(patient_id=patient_id, text=text, label=label) for patient_id, text, label in group)
        for group in document["patients"]
    )


__all__ = ["HELDOUT", "Import", "import_patients", "stored_patients", "TRAIN"]
