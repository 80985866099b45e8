"""The second and third layer in their order, as the policy asks.

Documentation and report say of them: *these layers carry no formal guarantee. They make copying and linking harder; a
reader or a model may undo them. The guarantee of a run comes from DP training.* Invariants: both are seeded by
HMAC(k("noise", "TEXT"), LP(document_id)) and by nothing else; what was issued comes out byte for byte. Not handled
here: the first layer (``surrogates``).
"""

from __future__ import annotations

from collections.abc import Sequence

from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.edits import Edited, Place
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.noise import add_fillers
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.semantic import Paraphraser, rephrase

DISCLAIMER = (
    "These layers carry no formal guarantee. They make copying and linking harder; a reader or a model may undo them. "
    "The guarantee of a run comes from DP training."
)


def apply_layers(
    text: str,
    issued: Sequence[Place],
    *,
    document_id: str,
    policy: DesensitizePolicy,
    keys: ScrubKeys,
    paraphraser: Paraphraser | None = None,
) -> Edited:
    """Run the semantic and the noise layer over a text whose identifiers are already replaced.

    Args:
        issued: where surrogates and placeholders stand, disjoint and sorted, dropped ones empty.

    Returns:
        The text; ``carried`` tells where each of ``issued`` stands now, in their order, though the order of their
        places may be another.
    """
    edited = Edited(text=text, carried=tuple(issued))
    if set(policy.layers) <= {"entity"}:
        return edited
    draw = KeyedStream.of(keys, "noise", "TEXT", document_id)
    changed = 0
    if "semantic" in policy.layers:
        edited = rephrase(text, issued, draw, rate=policy.semantic_rate, paraphraser=paraphraser)
        changed = edited.num_changed
    if "noise" in policy.layers:
        edited = add_fillers(edited.text, edited.carried, draw, rate=policy.noise_rate)
        changed += edited.num_changed
    return Edited(text=edited.text, carried=edited.carried, num_changed=changed)


__all__ = ["apply_layers", "DISCLAIMER"]
