"""Why a record or a file is not taken: a closed list of codes, each with its sentence.

Only codes and places cross between processes or go to a file, never a library's message, which may quote a record.
"""

from __future__ import annotations

from fedward.common.errors import DataError

REASONS: dict[str, str] = {
    "bad_json": "malformed JSON",
    "not_an_object": "not a JSON object",
    "duplicate_key": "a key occurs twice",
    "number_range": "a number that JSON can spell and no float can hold",
    "encoding": "bytes that are not in the file's encoding",
    "nul": "a NUL character",
    "lone_surrogate": "half of a surrogate pair",
    "bad_csv": "malformed CSV: a quote that is not closed or doubled, or a cell above the limit",
    "ragged_row": "another number of cells than the header has",
    "too_long": "longer than the limit of a record",
    "key_is_identifier": "the name of a field is itself an identifier",
    "number_is_identifier": "a number is an identifier whose replacement is no number",
    "binary": "a column of bytes: images and attachments are not handled",
    "map_keys": "a map one of whose keys is no text or occurs twice",
    "unknown_type": "a value of a type that is not handled",
    "patient_missing": "the patient field is missing or empty",
    "surrogates": "a value that cannot be replaced under this policy",
    "leak": "the leak check found something",
    "unforeseen": "an unforeseen error",
}
_HINTS: dict[str, str] = {
    "too_long": "`--split` desensitises a long text in pieces cut at paragraphs and joins them again.",
    "encoding": "Name the encoding with --encoding, or convert the file with `iconv`.",
    "binary": 'Name the column in the policy with kind = "technical" (kept) or action = "drop".',
    "unknown_type": "Convert the column to text, numbers or dates, or leave it out of the file.",
    "key_is_identifier": "Put the value into a field of its own; the name of a field cannot be replaced.",
    "number_is_identifier": "Write the column as text, or set its action to drop in the policy.",
    "patient_missing": "Every record needs its patient where --patient is given.",
}
_HINTS |= dict.fromkeys(
    ("bad_json", "not_an_object"),
    "JSON lines hold one object a line; `jq -c '.[]'` makes them of an array. Or `--skip-bad` leaves such lines out "
    "and names them in the quarantine file.",
)
_DEFAULT_HINT = "Correct the record; or `--skip-bad` leaves such records out and names them in the quarantine file."


class RefusalError(Exception):
    """One record cannot be taken.

    Args:
        code: of ``REASONS``.
        place: "line 3", "row 7".
        detail: codes of leaks, or the path of a field; never text of a record.
    """

    def __init__(self, code: str, place: str = "", detail: str = "") -> None:
        super().__init__(code)
        self.code = code if code in REASONS else "unforeseen"
        self.place = place
        self.detail = detail


def as_error(name: str, code: str, place: str, detail: str = "") -> DataError:
    """The error that a person sees."""
    reason = REASONS.get(code, REASONS["unforeseen"])
    where = f"{name}, {place}" if place else name
    shown = f" ({detail})" if detail else ""
    return DataError(f"{where}: {reason}{shown}", hint=_HINTS.get(code, _DEFAULT_HINT))


__all__ = ["as_error", "REASONS", "RefusalError"]
