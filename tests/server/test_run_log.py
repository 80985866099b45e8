"""The coordinator's log of a run."""

from __future__ import annotations

import math

import pytest

from fedward.common.auxiliary_terms import OpenedFigures, OpenedMetric
from fedward.common.logs.logger import Log
from fedward.server.rounds import RoundRecord
from fedward.server.run_log import RunLog
from tests.federation_simulator import RUN_ID, SITES, Federation, Notes, on_train, silent
from tests.log_sinks import CANARY, hits, text_of


class Scene:
    """A run log in front of an observer that remembers."""

    def __init__(self) -> None:
        self.log, self.notes = Log(), Notes()
        self.run = RunLog(self.log, RUN_ID, SITES, self.notes)

    @property
    def said(self) -> list[tuple[str, dict[str, object]]]:
        return [(e.schema.name, {k: v for k, v in e.fields.items() if k != "run"}) for e in self.log.waiting]


def record(*metrics: OpenedMetric) -> RoundRecord:
    return RoundRecord(
        round_number=2,
        attempt=1,
        cohort=SITES,
        survivors=SITES[:2],
        dropped={"gamma": "LATE"},
        bytes_to_site=1,
        bytes_from_site=1,
        trips=3,
        seconds=12.5,
        update_norm=0.25,
        trained_parameters=6,
        clamped_share=0.125,
        figures=OpenedFigures(metrics=metrics),
    )


def test_round_is_its_position_and_the_size_of_its_cohort() -> None:
    scene = Scene()
    scene.run.round_finished(record())
    assert scene.said == [
        ("round.opened", {"round": 2, "attempt": 1, "cohort": 3, "survivors": 2, "took": "<=1min"}),
    ]
    assert scene.notes.rounds == [record()]


def test_mean_loss_is_logged_where_noise_is_in_it() -> None:
    scene = Scene()
    scene.run.round_finished(record(OpenedMetric(name="unit_loss", value=2.3456, noise_deviation=0.1)))
    assert scene.said[1] == ("trend.opened", {"round": 2, "metric": "unit_loss", "thousandths": 2346})


def test_mean_loss_that_nobody_paid_for_is_not_logged() -> None:
    scene = Scene()
    scene.run.round_finished(record(OpenedMetric(name="unit_loss", value=2.3456, noise_deviation=0.0)))
    assert [name for name, _ in scene.said] == ["round.opened"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_no_number_is_not_logged_as_one(value: float) -> None:
    scene = Scene()
    with scene.log.strict():
        scene.run.round_finished(record(OpenedMetric(name="unit_loss", value=value, noise_deviation=1.0)))
    assert [name for name, _ in scene.said] == ["round.opened"]


@pytest.mark.parametrize(
    ("outcome", "code", "rule"),
    [
        ("LATE", "LATE", None),
        ("POLICY_REFUSED/noise", "POLICY_REFUSED", "noise"),
        ("TRANSPORT:refused", "TRANSPORT", None),
        (CANARY, "REFUSED", None),
        (f"ABSTAIN/{CANARY}", "ABSTAIN", None),
        ("4711/4711", "REFUSED", None),
    ],
)
def test_a_sites_words_are_on_our_lists_or_not_logged(outcome: str, code: str, rule: str | None) -> None:
    scene = Scene()
    with scene.log.strict():
        scene.run.run_started(("alpha",), {"beta": outcome})
        scene.run.site_answered(1, "beta", outcome)
        scene.run.site_answered(1, "alpha", "ok")
    wanted = {"site": 1, "code": code, **({} if rule is None else {"rule": rule})}
    assert scene.said == [
        ("run.started", {"accepted": 1, "refused": 1}),
        ("site.left_out", {"round": 0, **wanted}),
        ("site.left_out", {"round": 1, **wanted}),
    ]
    assert hits(text_of(scene.log)) == []
    assert scene.notes.answers == [(1, "beta", outcome), (1, "alpha", "ok")]


def test_whole_run_is_logged_round_by_round() -> None:
    scene, federation = Scene(), Federation()
    federation.notes = scene.run  # type: ignore[assignment]
    with scene.log.strict():
        federation.run({"gamma": on_train(silent)})
    names = [name for name, _ in scene.said]
    assert names == ["run.started", *["site.left_out", "round.opened"] * 3]
