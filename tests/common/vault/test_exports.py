"""What the vault's modules offer is there, sorted, and loads nothing heavy."""

import importlib
import pkgutil

import pytest

import fedward.common.vault as package

MODULES = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
CLIENT = ["audit_cli", "passphrases", "site_folder", "site_keys_cli", "site_options", "vault_store_cli"]


@pytest.mark.parametrize("name", [*MODULES, *(f"fedward.client.{name}" for name in CLIENT)])
def test_exported_names_are_sorted_and_there(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__ == sorted(set(module.__all__) & set(dir(module)), key=str.casefold)
