"""The whole exception tree. Every error carries a hint: one sentence that tells the user what to do.

::

    FedwardError
    ├── ConfigError              a plan, recipe or option that cannot be
    │   └── PlanError            a run plan that breaks a rule of its own
    ├── DataError                an input file or record
    │   ├── MissingColumnError   a named column is not there
    │   ├── EncodingError        bytes that are not the declared encoding
    │   └── EmptyDataError       no record, or no patient, left
    ├── BaseModelError           the base model cannot be found, read or trusted
    ├── TrainingError            the local training cannot go on
    │   └── UnsupportedModelError   per-sample gradients are not proven for this model
    ├── PolicyAlteredError       a policy file that nobody set
    ├── PrivacyError             the accounting
    │   ├── CalibrationError     no noise multiplier reaches the target
    │   └── BudgetExhaustedError the release would pass the cap
    ├── IdentityError            a key or a roster
    ├── LedgerError              an entry or a chain of the ledger
    │   ├── HeadMovedError       another writer appended
    │   ├── LedgerLockedError    another process writes to it
    │   ├── LedgerVersionError   a budget entry of a later version
    │   ├── LedgerInvalidError   the chain does not hold
    │   └── LedgerRolledBackError   an older chain in the place of the newest
    ├── EnvelopeError            a sealed file
    │   ├── NotAnEnvelopeError   another kind of file
    │   ├── EnvelopeVersionError a suite or compression of a later version
    │   ├── EnvelopeHeaderError  lengths, counts or limits of the header
    │   ├── EnvelopeTooLargeError   more plaintext than the caller allows
    │   ├── WrongRecipientError  no given key opens it
    │   ├── HeaderTamperedError  the header's MAC does not hold
    │   ├── ContextMismatchError sealed for another kind, name or run
    │   ├── ChunkCorruptError    a chunk, or the end record, was changed
    │   ├── ChunkOrderError      chunks were moved, repeated or put in
    │   ├── TruncatedError       its end is missing
    │   └── TrailingDataError    something follows its end
    ├── ShreddingError           something of a run could not be destroyed, or was not
    │   └── CertificateError     a certificate of shredding that does not hold
    ├── LogError                 a sealed log that cannot be read
    │   └── LogEventError        an event that no schema allows
    ├── VaultError               an object, a key or a folder of the vault
    │   ├── AccessRefusedError   a role that may not do this
    │   ├── KeystoreLockedError  no unlock that was given opens the keystore
    │   ├── ObjectNotFoundError  no such object, or its key was destroyed
    │   ├── ObjectReplacedError  another file than the one that was sealed
    │   └── VaultPermissionError a mode, an owner or a link that lets others in
    ├── ProtocolError            a message; carries a refusal code
    ├── TransportError           bytes between relay and daemon
    │   ├── MessageTooLargeError longer than the daemon takes
    │   └── SocketError          a socket or its folder is not what it should be
    ├── RunError                 a federated run that cannot go on
    ├── EvaluationError          a measurement, sheet or report that cannot be judged
    │   └── CommitmentError      an opened sheet is not what was committed to
    ├── DesensitizationError     a text or column that may not pass
    │   └── FpeDomainError       too few possible values to encrypt one as another
    └── NotYetError              a command of a later version

The command line prints ``message`` and ``hint`` and exits with ``exit_code``; the traceback shows with ``--verbose``.
Messages and hints never carry record text, keys or other secrets.
"""

from __future__ import annotations

from typing import ClassVar


class FedwardError(Exception):
    """Base of all errors of this project."""

    hint: ClassVar[str] = "Run again with --verbose for the technical details."
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = hint or self.hint


class ConfigError(FedwardError):
    """A value in a plan, recipe or option is missing, unknown or impossible."""

    hint = "Correct the named setting; docs/plan.md describes every one."
    exit_code = 2


class PlanError(ConfigError):
    """The settings of a plan are each fine but contradict each other."""


class DataError(FedwardError):
    """An input file or record cannot be used."""

    hint = "docs/data.md describes the accepted formats."
    exit_code = 3


class MissingColumnError(DataError):
    """A named column is not in the file."""


class EncodingError(DataError):
    """The bytes of a file are not in the declared encoding."""

    hint = "Convert the file to UTF-8, for example with `iconv -f gb18030 -t utf-8`, or set `encoding`."


class EmptyDataError(DataError):
    """No record or no patient is left."""

    hint = "Check the path, the filter and the columns of this site."


class BaseModelError(FedwardError):
    """The base model cannot be found, read or trusted."""

    hint = "Use --base embedded, --base smollm2, or the path of a Hugging Face causal language model."
    exit_code = 4


class TrainingError(FedwardError):
    """The local training cannot go on. Nothing left the site."""


class UnsupportedModelError(TrainingError):
    """Per-sample gradients are not proven for something in this model."""

    hint = "Choose other target modules or another base; docs/training.md lists what is proven."


class PolicyAlteredError(FedwardError):
    """The site's policy file is not the one that was set last: POLICY_ALTERED."""

    hint = "`fedward site policy set FILE` sets a policy; a file that was edited by hand binds nobody."
    exit_code = 3


class PrivacyError(FedwardError):
    """The privacy accounting refuses."""


class CalibrationError(PrivacyError):
    """No noise multiplier within reach meets the target."""

    hint = "Raise epsilon, or lower rounds, steps_per_round or sample_rate."
    exit_code = 2


class BudgetExhaustedError(PrivacyError):
    """The release would pass the epsilon that the site allows. Nothing was charged, nothing left."""

    hint = "Granting more is the decision of the site's data steward."


class IdentityError(FedwardError):
    """A key, a signature or the roster is not what it should be."""


class LedgerError(FedwardError):
    """An entry, or the file of a ledger, is not what it should be."""

    hint = "`fedward ledger verify` names the first bad entry."
    exit_code = 3


class HeadMovedError(LedgerError):
    """The chain has grown since its head was read. Nothing was appended."""

    hint = "Another process wrote to this ledger; read it again and decide anew."


class LedgerLockedError(LedgerError):
    """Another process writes to this ledger."""

    hint = "A ledger has one writer: end the other process, or use it."


class LedgerVersionError(LedgerError):
    """A budget entry that this version does not know: what is spent cannot be told."""

    hint = "Use the version of fedward that wrote this ledger, or a later one."


class LedgerInvalidError(LedgerError):
    """The chain does not hold. Nothing more is appended to it."""

    hint = "Keep the file as it is and ask the other sites for the heads that they recorded."


class LedgerRolledBackError(LedgerError):
    """The chain is shorter than it was, or another one: what was spent since is not in it."""

    hint = "Put the newest ledger back; or `fedward ledger restore`, then `fedward ledger recover`."


class EnvelopeError(FedwardError):
    """A sealed file cannot be opened. Nothing of it was handed on as whole."""

    hint = "Take the file from a backup; what was opened of it before the error must not be used."
    exit_code = 3


class NotAnEnvelopeError(EnvelopeError):
    """Another kind of file."""

    hint = "Check the path: sealed files begin with FEDWENV1."


class EnvelopeVersionError(EnvelopeError):
    """A suite or a compression that this version does not know."""

    hint = "Open it with the version of fedward that sealed it, or a later one."


class EnvelopeHeaderError(EnvelopeError):
    """A length, count or limit of the header cannot be."""


class EnvelopeTooLargeError(EnvelopeError):
    """The plaintext is longer than the caller allows."""

    hint = "Allow more with --max-bytes if the file is what it should be."


class WrongRecipientError(EnvelopeError):
    """No key that was given opens the file; a wrong passphrase looks the same."""

    hint = "Give the key or the passphrase of one of its recipients."


class HeaderTamperedError(EnvelopeError):
    """A recipient's part opens, and the header's MAC does not hold."""


class ContextMismatchError(EnvelopeError):
    """Sealed for another kind, name or run."""

    hint = "It was moved or renamed: `fedward vault list` shows what each file says it is."


class ChunkCorruptError(EnvelopeError):
    """A chunk, or the end record, was changed."""


class ChunkOrderError(EnvelopeError):
    """Chunks were moved, repeated or put in."""


class TruncatedError(EnvelopeError):
    """The end is missing, or a part of the middle."""


class TrailingDataError(EnvelopeError):
    """Something follows the end."""


class ShreddingError(FedwardError):
    """Something of a run could not be destroyed. It is finished by the next start, or by shredding again."""

    hint = "Remove what stands in the way and run `fedward shred` again; docs/shredding.md."
    exit_code = 3


class CertificateError(ShreddingError):
    """A certificate is not in its form, not signed by who it says, or of another run."""

    hint = "Ask the site for the certificate as `fedward shred` wrote it."


class LogError(FedwardError):
    """A segment of a log is not what it should be."""

    hint = "Take the segment from a backup, or read the others."
    exit_code = 3


class LogEventError(LogError):
    """An event or a field that no schema allows, or a second sink. Raised in tests; a site drops it and counts."""

    hint = "docs/logs.md lists events and fields; common/logs/events.py is where new ones go."
    exit_code = 1


class VaultError(FedwardError):
    """Something of the vault cannot be used. Nothing was handed out."""

    hint = "docs/vault.md says what lies where."
    exit_code = 3


class AccessRefusedError(VaultError):
    """This role may not do this; the refusal is in the ledger."""

    hint = "docs/vault.md has the table of roles; `fedward site grant` is the steward's."


class KeystoreLockedError(VaultError):
    """The keystore did not open. Which part failed is not told."""

    hint = "Give the site's key file, passphrase or keyring; a damaged keystore looks the same."


class ObjectNotFoundError(VaultError):
    """No such object, or its key was destroyed."""

    hint = "`fedward vault objects` lists what a role may see."


class ObjectReplacedError(VaultError):
    """The file is not the one that the ledger says was sealed last."""

    hint = "Put the newest file back from a backup; find out who replaced it."


class VaultPermissionError(VaultError):
    """A mode, an owner or a link lets others in. Nothing was read or written."""

    hint = "Folders are 0700, files 0600, all yours and no links; find out who changed that."


class ProtocolError(FedwardError):
    """A message breaks the protocol.

    Args:
        code: the refusal code that travels in a signed ``Refusal``.
        message: for the own log; it never leaves the site.
        rule: name of the policy rule, for refused plans.
    """

    hint = "The other side runs another version or is not honest; nothing was released."

    def __init__(self, code: str, message: str, *, rule: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.rule = rule


class TransportError(FedwardError):
    """Bytes between the processes of a site did not arrive as they should."""

    hint = "`fedward site status` shows whether the daemon is up; its log names what it refused."
    exit_code = 7


class MessageTooLargeError(TransportError):
    """A message is longer than the daemon takes. It was not read to its end."""

    hint = "Raise max_message_bytes of the daemon if a message may be this long."


class SocketError(TransportError):
    """A socket, or the folder it lies in, is not what it should be."""

    hint = "Socket folders belong to the daemon's account alone; docs/deployment.md lists owner and mode of each."


class RunError(FedwardError):
    """A federated run cannot go on."""

    hint = "A site's refusal names its rule or code; docs/protocol.md lists them."
    exit_code = 5


class EvaluationError(FedwardError):
    """A measurement, a sheet or a report cannot be judged. It counts as not measured, never as passed."""

    hint = "docs/evaluation.md says what each section needs."
    exit_code = 4


class CommitmentError(EvaluationError):
    """An opened canary sheet is not what the site committed to before the first round."""

    hint = "The audit of this run is void; ask the site which sheet it inserted."


class DesensitizationError(FedwardError):
    """A text or a column cannot be desensitised as the policy asks. Nothing was written."""

    hint = "docs/desensitization.md describes actions, keys and what is refused."
    exit_code = 6


class FpeDomainError(DesensitizationError):
    """Format-preserving encryption needs at least 1,000,000 and at most 2**64 possible values."""

    hint = "Use the action `surrogate` (a keyed token) or `placeholder` for this column."


class NotYetError(FedwardError):
    """A command of a later version."""

    hint = "CHANGELOG.md says what each version brings."
    exit_code = 2


__all__ = [
    "AccessRefusedError",
    "BaseModelError",
    "BudgetExhaustedError",
    "CalibrationError",
    "CertificateError",
    "ChunkCorruptError",
    "ChunkOrderError",
    "CommitmentError",
    "ConfigError",
    "ContextMismatchError",
    "DataError",
    "DesensitizationError",
    "EmptyDataError",
    "EncodingError",
    "EnvelopeError",
    "EnvelopeHeaderError",
    "EnvelopeTooLargeError",
    "EnvelopeVersionError",
    "EvaluationError",
    "FedwardError",
    "FpeDomainError",
    "HeaderTamperedError",
    "HeadMovedError",
    "IdentityError",
    "KeystoreLockedError",
    "LedgerError",
    "LedgerInvalidError",
    "LedgerLockedError",
    "LedgerRolledBackError",
    "LedgerVersionError",
    "LogError",
    "LogEventError",
    "MessageTooLargeError",
    "MissingColumnError",
    "NotAnEnvelopeError",
    "NotYetError",
    "ObjectNotFoundError",
    "ObjectReplacedError",
    "PlanError",
    "PolicyAlteredError",
    "PrivacyError",
    "ProtocolError",
    "RunError",
    "ShreddingError",
    "SocketError",
    "TrailingDataError",
    "TrainingError",
    "TransportError",
    "TruncatedError",
    "UnsupportedModelError",
    "VaultError",
    "VaultPermissionError",
    "WrongRecipientError",
]
