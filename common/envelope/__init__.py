"""Sealed streams: AES-256-GCM in chunks under a key per file, wrapped for each recipient. See docs/envelope.md."""
