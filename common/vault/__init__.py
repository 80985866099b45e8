"""What a site holds, sealed: kinds, roles, keys, objects. See docs/vault.md."""
