"""Any history of the vault against a dictionary: what was put and not ended is there, whatever keys changed since."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.client.site_folder import SiteFolder
from fedward.common.errors import ObjectNotFoundError, VaultError
from fedward.common.vault.kinds import KEPT, SITE_DATA, Kind
from fedward.common.vault.roles import Action, Role
from tests.vaults import OTHER_RUN, RUN, files, new_site, open_site, principal, put

PLACES = [
    (Kind.CHECKPOINT, RUN),
    (Kind.ADAPTER, RUN),
    (Kind.SHARD, RUN),
    (Kind.CHECKPOINT, OTHER_RUN),
    (Kind.TRAINING, SITE_DATA),
    (Kind.QUARANTINE, SITE_DATA),
]
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(PLACES), st.binary(max_size=40)),
    st.tuples(st.just("rotate"), st.sampled_from([Kind.CHECKPOINT, Kind.INDEX, Kind.ADAPTER]), st.just(b"")),
    st.tuples(st.just("reseal"), st.sampled_from([Kind.CHECKPOINT, Kind.ADAPTER, Kind.TRAINING]), st.just(b"")),
    st.tuples(st.just("destroy"), st.sampled_from([RUN, OTHER_RUN]), st.just(b"")),
    st.tuples(st.sampled_from(["delete", "release", "roles", "identity", "reopen", "full"]), st.none(), st.just(b"")),
)


class History:
    """A site and what it should hold."""

    def __init__(self, path: Path) -> None:
        self.site: SiteFolder = new_site(path)
        self.held: dict[str, tuple[Kind, bytes, bytes]] = {}

    def take(self, step: str, what: object, data: bytes) -> None:
        vault = self.site.vault
        if step == "put":
            assert isinstance(what, tuple)
            kind, run_id = what
            self.held[put(self.site, kind, data, run_id=run_id)] = (kind, run_id, data)
        elif step == "rotate":
            vault.rotate([Kind(str(what))])
        elif step == "reseal":
            vault.reseal(Kind(str(what)))
        elif step == "destroy":
            assert isinstance(what, bytes)
            vault.destroy(what)
            self._keep(lambda kind, run_id: run_id != what or kind in KEPT)
        elif step == "roles":
            vault.rotate_roles()
        elif step == "identity":
            self.site.rotate_identity()
        elif step == "reopen":
            self.reopen()
        elif step == "full":
            self._fill_the_disk()
        else:
            self._change_one(step)

    def reopen(self) -> None:
        self.site.close()
        self.site = open_site(self.site.path)
        self._keep(lambda kind, _: not kind.is_ephemeral)

    def _keep(self, stays: object) -> None:
        assert callable(stays)
        self.held = {one: found for one, found in self.held.items() if stays(found[0], found[1])}

    def _fill_the_disk(self) -> None:
        """An object whose index cannot be written."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("fedward.common.vault.areas.encoded", _no_space)
            with pytest.raises(VaultError):
                put(self.site, Kind.CHECKPOINT, b"lost")

    def _change_one(self, step: str) -> None:
        kinds = {"delete": {Kind.TRAINING, Kind.QUARANTINE}, "release": {Kind.ADAPTER}}[step]
        chosen = next((one for one, found in self.held.items() if found[0] in kinds), None)
        if chosen is None:
            return
        steward = principal(Role.STEWARD)
        if step == "delete":
            self.site.vault.delete(chosen, principal=steward)
            del self.held[chosen]
        else:
            self.site.vault.release(chosen, principal=steward)

    def check(self) -> None:
        readers = {Kind.ADAPTER: Role.STEWARD, Kind.QUARANTINE: Role.STEWARD}
        for object_id, (kind, _, data) in self.held.items():
            role = principal(readers.get(kind, Role.DAEMON))
            action = Action.REVIEW if kind is Kind.QUARANTINE else Action.READ
            assert self.site.vault.read(object_id, principal=role, action=action) == data
        assert {info.object_id for info in self.site.vault.find()} == set(self.held)
        on_disk = {path.stem for path in files(self.site.path, ".fwe") if path.parent.parent.name == "objects"}
        assert on_disk == set(self.held)
        with pytest.raises(ObjectNotFoundError):
            self.site.vault.info("00" * 16)


def _no_space(_: object) -> bytes:
    raise VaultError("No space left on device")


@settings(max_examples=25)
@given(steps=st.lists(STEPS, max_size=14))
def test_what_was_put_and_not_ended_is_there(tmp_path_factory: pytest.TempPathFactory, steps: list[object]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.fsync", lambda _: None)
        history = History(tmp_path_factory.mktemp("history") / "site")
        for step in steps:
            assert isinstance(step, tuple)
            history.take(*step)
            history.check()
        history.reopen()
        history.check()
        history.site.close()


def test_index_outlives_a_slot_that_no_index_came_to_use(tmp_path: Path) -> None:
    history = History(tmp_path / "site")
    for step in (
        ("put", PLACES[0], b"weights"),
        ("rotate", Kind.INDEX, b""),
        ("full", None, b""),  # leaves a newer slot of the index, unused
        ("rotate", Kind.INDEX, b""),
        ("reopen", None, b""),
    ):
        history.take(*step)
        history.check()
    history.site.close()
