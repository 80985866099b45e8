"""Invented clinical, bank and administrative documents with gold spans, for judging desensitisation from outside.

Shares neither code nor tables with ``common/desensitize``: who finds identifiers must not also say what one looks like.
"""
