"""The coordinator; trusted with nothing but availability. Never imports ``client``."""
