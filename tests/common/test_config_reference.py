from __future__ import annotations

from pathlib import Path

from fedward.common.config import RunPlan, Settings, SitePlan, SitePolicy
from fedward.common.config_reference import markdown, scrub_tables

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "plan.md").read_text("utf-8") == markdown(), "run `make docs`"


def test_every_setting_has_a_meaning() -> None:
    models: list[type[Settings]] = [RunPlan, SitePlan, SitePolicy]
    models += [
        field.annotation
        for field in RunPlan.model_fields.values()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    ]
    bare = [
        f"{model.__name__}.{name}" for model in models for name, f in model.model_fields.items() if not f.description
    ]
    assert bare == []


def test_the_page_of_desensitisation_has_the_settings_as_the_code_says() -> None:
    page = (ROOT / "docs" / "desensitization.md").read_text("utf-8")
    assert scrub_tables() in page, "paste what config_reference.scrub_tables() gives"
