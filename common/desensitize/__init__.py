"""Desensitisation of text and table columns in Chinese, English and both: find, replace, prove, report."""
