"""A party's folder: made whole, opened by its own keys, private whatever the umask."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fedward.client.site_folder import SiteFolder
from fedward.common.envelope.recipients import Passphrase
from fedward.common.errors import (
    ContextMismatchError,
    IdentityError,
    KeystoreLockedError,
    LedgerInvalidError,
    LedgerLockedError,
    VaultError,
    VaultPermissionError,
)
from fedward.common.identity import Identity
from fedward.common.ledger.store import Ledger
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import KeyUnlock, PassphraseUnlock
from tests.envelopes import CHEAP
from tests.vaults import IDENTITY, UNLOCK, clock, entries, files, new_site, open_site, principal, put


def test_folder_has_the_layout_of_the_page(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        names = {path.relative_to(site.path).as_posix() for path in site.path.rglob("*")}
    assert {
        "keys/keystore.fwe",
        "keys/root.slot",
        "ledger/ledger.db",
        "ledger/ledger.lock",
        "state",
        "data",
        "runs",
    } < {*names}


def test_genesis_names_the_site_and_the_identity_that_was_handed_in(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        assert entries(site, "genesis")[0]["identity"] == IDENTITY.public_key.hex()
        assert (site.site_id, site.identity.public_key) == ("alpha", IDENTITY.public_key)


def test_identity_is_drawn_where_none_is_given(tmp_path: Path) -> None:
    keys = set()
    for name in ("a", "b"):
        with SiteFolder.create(tmp_path / name, name, unlocks=[UNLOCK], clock=clock) as site:
            keys.add(site.identity.public_key)
    assert len(keys) == 2


def test_own_account_is_steward_operator_and_daemon(tmp_path: Path) -> None:
    with SiteFolder.create(tmp_path / "site", "alpha", unlocks=[UNLOCK], clock=clock) as site:
        held = {grant.role for grant in site.vault.gate.grants.all()}
        assert held == {Role.STEWARD, Role.OPERATOR, Role.DAEMON}
        assert site.principal(Role.DAEMON).subject == f"uid:{os.geteuid()}"


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    new_site(tmp_path / "site").close()
    before = {path: path.read_bytes() for path in files(tmp_path / "site")}
    with pytest.raises(VaultError, match="there already"):
        new_site(tmp_path / "site")
    assert {path: path.read_bytes() for path in files(tmp_path / "site")} == before


def test_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site").chmod(0o755)
    with new_site(tmp_path / "site") as site:
        assert stat.S_IMODE(site.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("site_id", ["", "two words", "x" * 65])
def test_folder_of_no_site_is_not_left_behind(tmp_path: Path, site_id: str) -> None:
    with pytest.raises(IdentityError):
        SiteFolder.create(tmp_path / "site", site_id, unlocks=[UNLOCK], clock=clock)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_none_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(VaultError, match="no site's folder"):
        open_site(tmp_path)
    with pytest.raises(VaultError, match="no such folder"):
        open_site(tmp_path / "missing")


def test_second_process_is_refused_while_the_first_has_it(tmp_path: Path) -> None:
    with new_site(tmp_path / "site"), pytest.raises(LedgerLockedError):
        open_site(tmp_path / "site")
    open_site(tmp_path / "site").close()


def test_wrong_unlock_lets_go_of_the_ledger(tmp_path: Path) -> None:
    new_site(tmp_path / "site").close()
    with pytest.raises(KeystoreLockedError):
        open_site(tmp_path / "site", unlocks=[KeyUnlock.of_secret(bytes(32), "key-file")])
    open_site(tmp_path / "site").close()


def test_keystore_of_another_site_does_not_open_here(tmp_path: Path) -> None:
    for name in ("a", "b"):
        new_site(tmp_path / name).close()
    for file in ("root.slot", "keystore.fwe"):
        (tmp_path / "b/keys" / file).write_bytes((tmp_path / "a/keys" / file).read_bytes())
    with pytest.raises(ContextMismatchError):
        open_site(tmp_path / "b")


@pytest.mark.parametrize("place", ["", "keys", "ledger", "data", "runs", "ledger/ledger.db"])
def test_looser_mode_is_refused(tmp_path: Path, place: str) -> None:
    new_site(tmp_path / "site").close()
    path = tmp_path / "site" / place
    path.chmod(path.stat().st_mode | 0o050)
    with pytest.raises(VaultPermissionError):
        open_site(tmp_path / "site")


def test_passphrase_and_key_file_open_the_same_folder(tmp_path: Path) -> None:
    words = PassphraseUnlock(key=Passphrase(text="correct horse battery", cost=CHEAP))
    with new_site(tmp_path / "site", unlocks=[UNLOCK, words]) as site:
        object_id = put(site, Kind.CHECKPOINT)
    for unlock in (UNLOCK, words):
        with open_site(tmp_path / "site", unlocks=[unlock]) as site:
            assert site.vault.read(object_id, principal=principal(Role.DAEMON)) == b"content"


def test_new_identity_signs_from_now_on(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        fresh = site.rotate_identity()
        put(site, Kind.CHECKPOINT)
        assert fresh.public_key == site.identity.public_key != IDENTITY.public_key
        assert entries(site, "key.rotated")[0]["new"] == fresh.public_key.hex()
    with open_site(tmp_path / "site") as site:
        assert site.identity.public_key == fresh.public_key


@pytest.mark.parametrize("is_in_ledger", [False, True])
def test_change_of_identity_that_a_crash_cut_short_is_settled_by_the_ledger(
    tmp_path: Path, is_in_ledger: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate = Ledger.rotate

    def crashing(self: Ledger, new: Identity) -> None:
        if is_in_ledger:
            rotate(self, new)
        raise KeyboardInterrupt

    with new_site(tmp_path / "site") as site, monkeypatch.context() as patched:
        patched.setattr(Ledger, "rotate", crashing)
        with pytest.raises(KeyboardInterrupt):
            site.rotate_identity()
    with open_site(tmp_path / "site") as site:
        assert (site.identity.public_key == IDENTITY.public_key) is not is_in_ledger
        assert len(site.keystore.records(Purpose.IDENTITY, "self")) == 1
        put(site, Kind.CHECKPOINT)


def test_ledger_of_another_signer_is_refused(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        site.ledger.rotate(Identity.generate())  # and the keystore does not know the key
    with pytest.raises(LedgerInvalidError):
        open_site(tmp_path / "site")


def test_scrub_keys_are_stable_and_agree_with_their_descriptor(tmp_path: Path) -> None:
    with new_site(tmp_path / "site") as site:
        keys, descriptor = site.scrub_keys, site.scrub_descriptor
    descriptor.check(keys)
    assert (descriptor.created, descriptor.not_after) == ("2023-11-14", "2033-12-31")
    with open_site(tmp_path / "site") as site:
        assert site.scrub_keys == keys


CHILD = """
import os, sys
from pathlib import Path
os.umask(0)
from fedward.common.vault.kinds import Kind
from tests.vaults import new_site, open_site, put
with new_site(Path(sys.argv[1])) as site:
    for kind in (Kind.CHECKPOINT, Kind.SHARD, Kind.ADAPTER):
        put(site, kind, b"x" * 100_000)
    site.vault.rotate()
    site.vault.reseal(Kind.CHECKPOINT)
    site.rotate_identity()
    os._exit(0)
"""


def test_process_with_umask_0_leaves_nothing_that_others_may_enter(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "site"
    command = [sys.executable, "-c", CHILD, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    subprocess.run(command, cwd=repository, env=environment, timeout=120, check=True)
    found = [path, *path.rglob("*")]
    modes = {(found_.is_dir(), stat.S_IMODE(found_.stat().st_mode)) for found_ in found}
    assert modes == {(True, 0o700), (False, 0o600)}
    assert len([one for one in found if one.suffix in (".db-wal", ".db-shm")]) == 2  # while it was open, too
    with open_site(path) as site:
        assert [info.kind for info in site.vault.find()] == [Kind.CHECKPOINT, Kind.ADAPTER]
