"""How the word list and the Chinese tagger that ship with the detectors were made."""
