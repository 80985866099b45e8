"""``fedward ledger verify`` at the levels that ask others: a ledger cut short, put back or made anew is named."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import app
from fedward.common.config import COORDINATOR
from fedward.common.errors import ConfigError, LedgerError
from fedward.common.identity import Identity, Roster
from fedward.common.ledger.anchor import Anchor, AnchorFile
from fedward.common.ledger.chain import Draft, Entry, Head
from fedward.common.ledger.export import to_line
from fedward.common.ledger.head_entries import Confirmed, confirmed_drafts, recorded_drafts, recovered_drafts
from fedward.common.ledger.heads import HeadSet, HeadStatement, stated_head
from tests.heads import IDENTITIES, KEYS, RUN, ledger_of, set_of, stated
from tests.ledgers import accepted, account, chained, charge, reserve

RUNNER = CliRunner()


def verified(path: Path, *words: object) -> tuple[int, dict[str, Any]]:
    arguments = ["ledger", "verify", str(path), "--json", *map(str, words)]
    result = RUNNER.invoke(app, arguments, catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def exported(path: Path, entries: Sequence[Entry], *, is_redacted: bool = False) -> Path:
    path.write_text("".join(to_line(entry, is_redacted=is_redacted) + "\n" for entry in entries), "utf-8")
    return path


def chain_of(site: str, *drafts: Draft, identity: Identity | None = None, ledger_id: bytes = b"") -> list[Entry]:
    """A site's chain."""
    signer = identity or IDENTITIES[site]
    return chained(drafts, identity=signer, ledger_id=ledger_id or ledger_of(site), site_id=site)


def word(entries: Sequence[Entry], seq: int, *, number: int = 1, site: str = "alpha") -> HeadStatement:
    """What a site stated when its chain ended at that entry."""
    return stated_head(
        IDENTITIES[site],
        site,
        ledger_id=bytes.fromhex(str(entries[0].fields["ledger_id"])),
        run_id=RUN,
        round_number=number,
        attempt=0,
        head=entries[seq].hash,
    )


SPENT = chain_of("alpha", account(), reserve(), charge(2))


def recorded(*sets: HeadSet, site: str = "beta") -> list[Entry]:
    """The chain of a site that has recorded these sets."""
    return chain_of(site, *(draft for heads in sets for draft in recorded_drafts(heads)))


def confirmed(heads: HeadSet, *names: str) -> tuple[Draft, ...]:
    pairs = tuple((name, IDENTITIES[name].sign("ledger", "heads", heads.digest)) for name in names)
    return confirmed_drafts(Confirmed(run_id=RUN, number=heads.number, headset=heads.digest, signatures=pairs))


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "consortium.roster"
    members = {name: key for name, key in KEYS.items() if name != COORDINATOR}
    path.write_bytes(Roster(coordinator_key=KEYS[COORDINATOR], members=members).to_bytes())
    return path


# ---------------------------------------------------------------------------------------------------- cross


@pytest.mark.parametrize("is_redacted", [False, True])
def test_a_chain_that_others_bear_out_is_good(tmp_path: Path, roster: Path, is_redacted: bool) -> None:
    mine = exported(tmp_path / "mine", SPENT, is_redacted=is_redacted)
    other = exported(tmp_path / "other", recorded(set_of(1, word(SPENT, 2))), is_redacted=is_redacted)
    code, found = verified(mine, "--with", other, "--roster", roster)
    assert (code, found["verdict"], found["level"]) == (0, "ok", "cross")
    assert found["heads"]["budget_judged"] is not is_redacted


@pytest.mark.parametrize("draft", [Draft(kind="policy.set", fields={"sha256": "11" * 32}), accepted()])
def test_a_redacted_export_of_a_site_with_a_policy_and_plans_is_good(tmp_path: Path, draft: Draft) -> None:
    mine = exported(tmp_path / "mine", chain_of("alpha", draft, account()), is_redacted=True)
    code, found = verified(mine, "--level", "witnessed")
    assert (code, found["heads"]["budget_judged"]) == (0, False)
    with pytest.raises(ConfigError, match="left out"):
        verified(mine, "--level", "budget")


def test_a_set_that_still_holds_a_head_which_was_owned_up_to_is_good(tmp_path: Path) -> None:
    lost = word(chain_of("alpha", account(), reserve()), 2)
    owned_up = (*recovered_drafts((lost,), "recovery"), *recorded_drafts(set_of(1, lost)))
    assert verified(exported(tmp_path / "mine", chain_of("alpha", *owned_up)), "--level", "witnessed")[0] == 0
    assert verified(exported(tmp_path / "bare", chain_of("alpha", *owned_up[1:])), "--level", "witnessed")[0] == 3


def test_a_dropped_tail_is_named_with_round_and_witness(tmp_path: Path) -> None:
    mine = exported(tmp_path / "mine", SPENT[:2])
    other = exported(tmp_path / "other", recorded(set_of(1, word(SPENT, 3, number=7))))
    assert verified(mine)[0] == 0
    code, found = verified(mine, "--with", other)
    assert (code, found["fault"], found["bad_seq"]) == (3, "HEAD_MISSING", None)
    assert "round 7" in found["detail"]
    assert "recorded by beta" in found["detail"]


def test_a_log_that_was_replaced_whole_by_one_validly_signed_is_named(tmp_path: Path) -> None:
    other = exported(tmp_path / "other", recorded(set_of(1, word(SPENT, 3))))
    same_id = exported(tmp_path / "same", chain_of("alpha", account("6")))
    assert verified(same_id, "--with", other)[1]["fault"] == "HEAD_MISSING"
    new_id = exported(tmp_path / "new", chain_of("alpha", account(), ledger_id=bytes(16)))
    code, found = verified(new_id, "--with", other)
    assert (code, found["fault"], found["bad_seq"]) == (3, "GENESIS_DIFFERS", 0)


def test_heads_that_the_chain_owns_up_to_are_not_missing(tmp_path: Path) -> None:
    lost = word(SPENT, 3)
    mine = exported(tmp_path / "mine", chain_of("alpha", account(), *recovered_drafts([lost], "recovery")))
    other = exported(tmp_path / "other", recorded(set_of(1, lost)))
    assert verified(mine, "--with", other)[0] == 0


def test_a_statement_that_this_chain_never_signed_proves_nothing(tmp_path: Path) -> None:
    forged = replace(word(SPENT, 3), head=bytes(32))
    mine, other = exported(tmp_path / "mine", SPENT), exported(tmp_path / "other", recorded(set_of(1, forged)))
    assert verified(mine, "--with", other)[0] == 0


def test_two_stories_of_the_coordinator_are_named(tmp_path: Path) -> None:
    first, second = set_of(1, stated("beta", 1)), set_of(1, stated("beta", 2))
    mine = exported(tmp_path / "mine", recorded(first, site="alpha"))
    other = exported(tmp_path / "other", recorded(second, site="gamma"))
    code, found = verified(mine, "--with", other)
    assert (code, found["fault"], found["bad_seq"]) == (3, "HEADS_CONFLICT", 1)


def test_the_others_own_gap_is_named_too(tmp_path: Path) -> None:
    theirs = chain_of("beta", account(), reserve())
    mine = exported(tmp_path / "mine", recorded(set_of(1, word(theirs, 2, site="beta")), site="alpha"))
    code, found = verified(mine, "--with", exported(tmp_path / "other", theirs[:2]))
    assert (code, found["fault"]) == (3, "HEAD_MISSING")
    assert "missing from the ledger of beta" in found["detail"]


def test_an_export_that_does_not_hold_is_no_witness(tmp_path: Path) -> None:
    entries = recorded(set_of(1, word(SPENT, 2)))
    other = exported(tmp_path / "other", [entries[0], replace(entries[1], signature=bytes(64))])
    with pytest.raises(LedgerError, match="entry 1: SIGNATURE_BAD"):
        verified(exported(tmp_path / "mine", SPENT), "--with", other)


def test_level_cross_wants_others_and_no_other_level_takes_them(tmp_path: Path, roster: Path) -> None:
    mine = exported(tmp_path / "mine", SPENT)
    for words in (("--level", "cross"), ("--level", "signed", "--with", mine), ("--roster", roster)):
        with pytest.raises(ConfigError):
            verified(mine, *words)


# ---------------------------------------------------------------------------------------------------- witnessed


def test_the_tail_behind_the_last_confirmed_head_is_listed(tmp_path: Path, roster: Path) -> None:
    heads = set_of(1, word(SPENT, 1))
    drafts = (account(), reserve(), *recorded_drafts(heads), *confirmed(heads, "beta"), charge(2))
    mine = exported(tmp_path / "mine", chain_of("alpha", *drafts))
    code, found = verified(mine, "--level", "witnessed", "--roster", roster)
    assert code == 0
    assert found["heads"] == {
        "sets": 1,
        "confirmed_seq": 1,
        "tail": [2, 5],
        "unwitnessed_charges": [5],
        "budget_judged": True,
    }
    shown = RUNNER.invoke(app, ["ledger", "verify", str(mine), "--level", "witnessed"]).stdout
    assert "behind the last confirmed head: 4 entries, 2 to 5" in shown


def test_a_head_of_its_own_that_is_not_on_the_chain_is_named(tmp_path: Path) -> None:
    elsewhere = chain_of("alpha", account("7"))
    mine = exported(tmp_path / "mine", recorded(set_of(1, word(elsewhere, 1, number=4)), site="alpha"))
    code, found = verified(mine, "--level", "witnessed")
    assert (code, found["fault"], found["bad_seq"]) == (3, "HEAD_MISSING", 1)
    assert "round 4" in found["detail"]


FIRST, SECOND = set_of(1, stated("beta", 1)), set_of(1, stated("beta", 2))
FORGED = set_of(1, replace(stated("beta", 1), signature=bytes(64)))
UNCONFIRMED = confirmed_drafts(Confirmed(run_id=RUN, number=1, headset=FIRST.digest, signatures=(("beta", bytes(64)),)))
CONFLICTS: list[tuple[str, tuple[Draft, ...], int]] = [
    ("two sets of one number", (*recorded_drafts(FIRST), *recorded_drafts(SECOND)), 2),
    ("a statement that nobody signed", recorded_drafts(FORGED), 1),
    ("a set that the coordinator did not sign", recorded_drafts(replace(FIRST, signature=bytes(64))), 1),
    ("signatures over no set", confirmed(FIRST, "beta"), 1),
    ("a signature that does not hold", (*recorded_drafts(FIRST), *UNCONFIRMED), 2),
    ("an entry of heads that is none", (Draft(kind="heads.recorded", fields={"run": "00"}),), 1),
]


@pytest.mark.parametrize(("drafts", "seq"), [row[1:] for row in CONFLICTS], ids=[row[0] for row in CONFLICTS])
def test_heads_that_do_not_hold_are_named(tmp_path: Path, roster: Path, drafts: tuple[Draft, ...], seq: int) -> None:
    mine = exported(tmp_path / "mine", chain_of("alpha", *drafts))
    code, found = verified(mine, "--level", "witnessed", "--roster", roster)
    assert (code, found["fault"], found["bad_seq"]) == (3, "HEADS_CONFLICT", seq)


def anchored(path: Path, seq: int, entry_hash: bytes, *, identity: Identity | None = None) -> Path:
    head = Head(ledger_id=ledger_of("alpha"), seq=seq, hash=entry_hash)
    AnchorFile(path).write(Anchor.of(head, identity or IDENTITIES["alpha"]))
    return path


@pytest.mark.parametrize(("num_entries", "is_good"), [(4, True), (3, False)])
def test_a_chain_shorter_than_its_anchor_is_named(tmp_path: Path, num_entries: int, is_good: bool) -> None:
    mine = exported(tmp_path / "mine", SPENT[:num_entries])
    anchor = anchored(tmp_path / "anchor", 3, SPENT[3].hash)
    code, found = verified(mine, "--level", "witnessed", "--anchor", anchor)
    assert (code == 0) is is_good
    assert is_good or (found["fault"], "anchor" in found["detail"]) == ("HEAD_MISSING", True)


def test_an_anchor_of_another_chain_or_of_nobody_is_named(tmp_path: Path) -> None:
    mine = exported(tmp_path / "mine", SPENT)
    for anchor in (
        anchored(tmp_path / "different", 2, bytes(32)),
        anchored(tmp_path / "stranger", 3, SPENT[3].hash, identity=IDENTITIES["beta"]),
    ):
        assert verified(mine, "--level", "witnessed", "--anchor", anchor)[1]["fault"] == "HEAD_MISSING"


def test_an_export_without_bodies_still_shows_its_heads(tmp_path: Path) -> None:
    heads = set_of(1, word(SPENT, 1))
    entries = chain_of("alpha", account(), *recorded_drafts(heads), *confirmed(heads, "beta"))
    whole = verified(exported(tmp_path / "whole", entries), "--level", "witnessed")[1]["heads"]
    redacted = verified(exported(tmp_path / "redacted", entries, is_redacted=True), "--level", "witnessed")[1]["heads"]
    assert redacted == {**whole, "budget_judged": False}
