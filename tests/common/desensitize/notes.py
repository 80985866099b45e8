"""Texts of sentences with surrogates in them, for the tests of the layers."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from fedward.common.desensitize.edits import Place

SENTENCES = (
    "主诉：反复头晕3天。",
    "入院后，患者出现明显头痛，因为血压142/91mmHg，所以口服氨氯地平5mg。",
    "患者{0}目前情况稳定，否认胸痛、恶心。",
    "护士已把敷料更换了。",
    "账户已被柜员冻结。",
    "家属{1}希望继续住院治疗，但是需要请假。",
    "随后通知家属，同时办理出院，电话{2}。",
    "身份证号{3}。",
    "卡号{4}。",
    "没有明显不适，不需要马上复查。",
    "\n",
    "In the morning, the patient felt better. ",
    "However, she often needs help with meals, and {5} explained the reason. ",
    "The nurse changed the dressing. ",
    "The plan was reviewed by the doctor. ",
    "He denies chest pain and usually takes aspirin 81 mg daily because {5} said so. ",
    "The fever rose last week. ",
    "Today, the patient does not need help. ",
    '<b>Large</b> gaps, see [PHONE1] or "help": true. ',
    "Because of {6}, we often ask again. ",
)
SURROGATES = (
    "李娜",
    "因为",
    "13343815088",
    "440305197003295919",
    "4111 1164 5205 8011",
    "Will Long",
    "2024-11-14",
)


class Note(NamedTuple):
    """A text and where its surrogates stand."""

    text: str
    issued: tuple[Place, ...]
    surrogates: tuple[str, ...]


def note_of(sentences: tuple[str, ...] | list[str]) -> Note:
    """Join ``sentences``, with their surrogates set in."""
    text, issued, surrogates = "", [], []
    for sentence in sentences:
        before, opened, rest = sentence.partition("{")
        text += before
        if opened and rest[1:2] == "}":
            surrogate = SURROGATES[int(rest[0])]
            issued.append((len(text), len(text) + len(surrogate)))
            surrogates.append(surrogate)
            text += surrogate + rest[2:]
        else:
            text += opened + rest
    return Note(text, tuple(issued), tuple(surrogates))


notes = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=14).map(note_of)
LONG = note_of(SENTENCES * 4)

__all__ = ["LONG", "Note", "note_of", "notes", "SENTENCES", "SURROGATES"]
