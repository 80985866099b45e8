"""What stands in an identifier's place: keyed surrogates, placeholders, shifted dates, generalised places."""

from fedward.common.desensitize.surrogates.document import DocumentSurrogates, Replacement, Surrogates
from fedward.common.desensitize.surrogates.validity import is_valid

__all__ = ["DocumentSurrogates", "is_valid", "Replacement", "Surrogates"]
