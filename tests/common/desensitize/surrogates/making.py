"""Documents with replacements, for the tests of this folder."""

import datetime
from typing import Any

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import Action, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import DocumentSurrogates, Surrogates

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
RECORDED = datetime.date(2024, 6, 1)


def document(
    patient: str | None = "P-0001",
    *,
    document_id: str = "d1",
    known: dict[EntityType, tuple[str, ...]] | None = None,
    keys: ScrubKeys = KEYS,
    **policy: Any,  # noqa: ANN401 - settings of a policy
) -> DocumentSurrogates:
    """The replacements of one record of ``patient``; actions may be given by name."""
    policy["actions"] = {type_: Action(name) for type_, name in policy.get("actions", {}).items()}
    context = Context(document_id=document_id, patient_id=patient, known=known or {}, record_date=RECORDED)
    return Surrogates(DesensitizePolicy(**policy), keys).for_document(context)


def replaced(type_: EntityType, *originals: str, patient: str | None = "P-0001") -> list[str]:
    """The texts that stand for ``originals`` in one document."""
    made = document(patient)
    made.announce((type_, original) for original in originals)
    return [made.replace(type_, original).text for original in originals]
