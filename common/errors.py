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
    ├── PrivacyError             the accounting
    │   ├── CalibrationError     no noise multiplier reaches the target
    │   └── BudgetExhaustedError the release would pass the cap
    ├── IdentityError            a key or a roster
    ├── ProtocolError            a message; carries a refusal code
    ├── RunError                 a federated run that cannot go on
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


class RunError(FedwardError):
    """A federated run cannot go on."""

    hint = "A site's refusal names its rule or code; docs/protocol.md lists them."
    exit_code = 5


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
    "BaseModelError",
    "BudgetExhaustedError",
    "CalibrationError",
    "ConfigError",
    "DataError",
    "DesensitizationError",
    "EmptyDataError",
    "EncodingError",
    "FedwardError",
    "FpeDomainError",
    "IdentityError",
    "MissingColumnError",
    "NotYetError",
    "PlanError",
    "PrivacyError",
    "ProtocolError",
    "RunError",
    "TrainingError",
    "UnsupportedModelError",
]
