"""What a simulation measures at its sites: held-out perplexity, and text samples for the eye.

The simulation plays all parties, so it may look; a real site's figures stay at the site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedward.common.lora.adapters import Adapter
from fedward.simulations.console import Interface
from fedward.simulations.sites import SiteData

if TYPE_CHECKING:
    from fedward.client.training.session import AdapterSession
    from fedward.common.evaluation.utility import TextScore

_PROMPT_TOKENS = 40
_MAX_SAMPLES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Utility:
    """Held-out figures of one adapter; None where there is no held-out text."""

    perplexity: float | None
    """All sites' held-out tokens together."""
    by_site: Mapping[str, tuple[float, float] | None]
    """Site id to (perplexity, bits per byte)."""


def held_out_utility(
    session: AdapterSession, adapter: Adapter, sites: Sequence[SiteData], ui: Interface, title: str
) -> Utility:
    """Perplexity and bits per byte on the sites' held-out records."""
    from fedward.common.evaluation.utility import bits_per_byte, perplexity, score_texts

    session.load(adapter)
    pad = int(session.tokenizer.pad_token_id)
    pooled: list[TextScore] = []
    by_site: dict[str, tuple[float, float] | None] = {}
    with ui.bar(title, len(sites)) as tick:
        for index, site in enumerate(sites):
            scores = score_texts(
                session.model,
                site.heldout,
                site.heldout_bytes,
                pad_token_id=pad,
                on_batch=lambda done, total, index=index: tick(index + done / max(total, 1)),  # type: ignore[misc]
            )
            pooled += scores
            scored = sum(score.num_tokens for score in scores) > 0
            by_site[site.site_id] = (perplexity(scores), bits_per_byte(scores)) if scored else None
            tick(index + 1)
    return Utility(perplexity=perplexity(pooled) if any(by_site.values()) else None, by_site=by_site)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """How base and tuned model go on from the start of a held-out record. For the terminal alone."""

    site_id: str
    prompt: str
    before: str
    after: str


def samples(
    session: AdapterSession, start: Adapter, tuned: Adapter, sites: Sequence[SiteData], *, num_tokens: int
) -> list[Sample]:
    """Greedy continuations, before and after."""
    chosen = [(site.site_id, list(site.heldout[0][:_PROMPT_TOKENS])) for site in sites if site.heldout][:_MAX_SAMPLES]
    if num_tokens == 0 or not chosen:
        return []
    texts: dict[str, list[str]] = {}
    for name, adapter in (("before", start), ("after", tuned)):
        session.load(adapter)
        texts[name] = [_continue(session, prompt, num_tokens) for _, prompt in chosen]
    return [
        Sample(
            site_id=site_id,
            prompt=str(session.tokenizer.decode(prompt, skip_special_tokens=True)),
            before=texts["before"][i],
            after=texts["after"][i],
        )
        for i, (site_id, prompt) in enumerate(chosen)
    ]


def _continue(session: AdapterSession, prompt: list[int], num_tokens: int) -> str:
    import torch

    model, tokenizer = session.model, session.tokenizer
    model.eval()
    ids = torch.tensor([prompt], device=next(model.parameters()).device)
    with torch.inference_mode():
        for _ in range(num_tokens):
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -1]
            following = logits.argmax(-1, keepdim=True)
            if int(following) == tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, following], 1)
    return str(tokenizer.decode(ids[0, len(prompt) :].tolist(), skip_special_tokens=True))
