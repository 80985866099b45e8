"""Names that go into an output as they are, of columns and of files in a folder: none may be an identifier.

A name cannot be replaced, for others look a column up by it; so a run that would carry one out ends before it begins.
Not handled here: names of fields inside of records, which each record has of its own (``records``).
"""

from __future__ import annotations

from collections.abc import Iterator

from fedward.client.scrub import tables
from fedward.client.scrub.inputs import Input
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.errors import DataError


def check_names(found: Input, policy: DesensitizePolicy, keys: ScrubKeys, descriptor: KeyDescriptor | None) -> None:
    """Refuse an input whose columns or files are named by an identifier, also where no record follows.

    Raises:
        DataError: which file, never the name itself.
    """
    rules = Desensitizer(policy.model_copy(update={"profile": "structured"}), keys, descriptor=descriptor)
    for index, member in enumerate(found.members):
        if any(map(rules.is_identifier, _columns(found, index))):
            raise DataError(
                f"file {index + 1} of {len(found.members)}: the name of a column is itself an identifier",
                hint="Put the value into a column of its own; the name of a column cannot be replaced.",
            )
        # A name is written without blanks: 张三_13800138000.txt
        spoken = " ".join(found.relative(index).with_suffix("").parts).replace("_", " ")
        if found.is_folder and (rules.is_identifier(spoken) or rules.is_identifier(member.name)):
            raise DataError(
                f"file {index + 1} of {len(found.members)}, in the order of names: its name holds an identifier",
                hint="Rename it; the output has the same names.",
            )


def _columns(found: Input, index: int) -> Iterator[str]:
    member = found.members[index]
    if member.kind in ("parquet", "arrow"):
        schema = tables.guarded(member.name, lambda: tables.schema_of(found.files[index], member.kind))
        yield from tables.column_names(schema)
    yield from member.header


__all__ = ["check_names"]
