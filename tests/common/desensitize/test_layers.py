from __future__ import annotations

import itertools
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.desensitize import edits, layers, noise, protection, semantic, sentence_rules, term_finder
from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.edits import Edited, Piece, carry, compose, replaced
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.layers import apply_layers
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.protection import negations, protected_spans
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.term_finder import TermFinder
from fedward.common.desensitize.validity import is_valid
from fedward.common.desensitize.wordlists import word_list
from tests.common.desensitize.notes import LONG, Note, note_of, notes

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
BOTH = DesensitizePolicy(layers=("entity", "semantic", "noise"), semantic_rate=0.10, noise_rate=0.10)
documents = st.text(max_size=4)


def run(note: Note, document: str = "D", policy: DesensitizePolicy = BOTH) -> Edited:
    return apply_layers(note.text, note.issued, document_id=document, policy=policy, keys=KEYS)


def texts(text: str, spans: list[tuple[int, int]]) -> Counter[str]:
    return Counter(text[start:end] for start, end in spans)


def test_without_layers_the_text_stays() -> None:
    assert run(LONG, policy=DesensitizePolicy()) == Edited(text=LONG.text, carried=LONG.issued)


def test_a_long_text_is_changed_by_both_layers() -> None:
    one = run(LONG, policy=DesensitizePolicy(layers=("entity", "semantic"), semantic_rate=0.10))
    two = run(LONG, policy=DesensitizePolicy(layers=("entity", "noise"), noise_rate=0.10))
    assert one.num_changed > 5
    assert two.num_changed > 5
    assert len({LONG.text, one.text, two.text, run(LONG).text}) == 4


@given(notes, documents)
def test_every_surrogate_comes_out_byte_for_byte_where_it_is_said_to_stand(note: Note, document: str) -> None:
    edited = run(note, document)
    assert tuple(edited.text[start:end] for start, end in edited.carried) == note.surrogates


@given(notes, documents)
def test_protected_spans_and_negations_come_out_unchanged_and_complete(note: Note, document: str) -> None:
    edited = run(note, document)
    assert texts(edited.text, negations(edited.text)) == texts(note.text, negations(note.text))
    before = texts(note.text, protected_spans(note.text, note.issued))
    assert not before - texts(edited.text, protected_spans(edited.text, edited.carried))


@given(notes, documents)
def test_the_same_seed_gives_the_same_text(note: Note, document: str) -> None:
    assert run(note, document) == run(note, document)


def test_another_document_or_key_gives_another_text() -> None:
    other = ScrubKeys(secret=bytes(32), site_id="hospital-a", key_id="1")
    third = apply_layers(LONG.text, LONG.issued, document_id="D", policy=BOTH, keys=other)
    assert len({run(LONG, "D").text, run(LONG, "E").text, third.text}) == 3


def test_f6_every_id_and_card_is_still_valid_after_both_layers() -> None:
    valid = []
    for document in range(60):
        edited = run(LONG, str(document))
        for (start, end), surrogate in zip(edited.carried, LONG.surrogates, strict=True):
            if surrogate[0] in "4":
                type_ = EntityType.ID_CN if len(surrogate) == 18 else EntityType.CARD
                valid.append(is_valid(type_, edited.text[start:end]))
    assert len(valid) == 60 * 8
    assert sum(map(bool, valid)) / len(valid) == 1.000


@settings(max_examples=50)
@given(st.text(alphabet='患者已把因为不了没有，。 \n13aTo.<>"{}:：', max_size=60), documents)
def test_no_text_breaks_a_layer(text: str, document: str) -> None:
    edited = run(Note(text, (), ()), document)
    assert texts(edited.text, negations(edited.text)) == texts(text, negations(text))


def test_json_stays_json_with_the_same_keys_and_numbers() -> None:
    note = note_of(
        [json.dumps({"because": ["however", True, 12, {"often": "She often needs help because of it. " * 9}]})]
    )
    edited = run(note)
    data = json.loads(edited.text)
    assert edited.text != note.text
    assert list(data) == ["because"]
    assert data["because"][:3] == ["however", True, 12]


@pytest.mark.parametrize("rate", [-0.01, 0.11, float("nan")])
def test_a_rate_above_a_tenth_is_refused(rate: float) -> None:
    draw = KeyedStream.of(KEYS, "noise", "TEXT", "D")
    with pytest.raises(ValueError, match="semantic rate"):
        semantic.rephrase("x", [], draw, rate=rate)
    with pytest.raises(ValueError, match="noise rate"):
        noise.add_fillers("x", [], draw, rate=rate)


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.05, 0.10])
def test_no_more_than_the_rate_is_changed(rate: float) -> None:
    policy = DesensitizePolicy(layers=("entity", "semantic", "noise"), semantic_rate=rate, noise_rate=rate)
    num_words = len(protection.words_between(LONG.text, protected_spans(LONG.text, LONG.issued)))
    assert run(LONG, policy=policy).num_changed <= 2 * rate * num_words


def test_the_noise_layer_only_adds_words_of_its_list() -> None:
    draw = KeyedStream.of(KEYS, "noise", "TEXT", "D")
    edited = noise.add_fillers(LONG.text, LONG.issued, draw, rate=0.10)
    fillers = [*word_list("general")["fillers_zh"], *word_list("general")["fillers_en"]]
    rest, place = [], 0
    for character in LONG.text:  # what is left when the old text is taken out
        while edited.text[place] != character:
            rest.append(edited.text[place])
            place += 1
        place += 1
    added = "".join(rest)
    assert edited.num_changed > 0
    assert len(edited.text) - len(LONG.text) == len(added)
    assert set(added) <= set("".join(fillers) + " ")


# ------------------------------------------------------------------------------------------ protection


PROTECTED = [
    ("口服氨氯地平5mg，每日一次", ["氨氯地平", "5mg", "一次"]),
    ("2024年3月5日复查CT", ["2024年3月5日", "CT"]),
    ("二〇二四年三月", ["二〇二四年三月"]),
    ("无明显胸痛，继续观察", ["无明显胸痛"]),
    ("She has no chest pain or cough, but asks.", ["no chest pain or cough"]),
    ("Denies 3.5 cm mass today. Asks.", ["Denies 3.5 cm mass today"]),
    ("Past history: none", ["Past history:", "none"]),
    ("既往史：体健", ["既往史："]),
    ("Graves disease and a right hip replacement", ["Graves disease", "hip replacement"]),
    ("on March 5 at 10:30", ["March", "5", "10:30"]),
    ('{"help": "ask"}', ['"help"', ":"]),
    ("<b>help</b> `ask` [PHONE2] {{name}} a@b.org https://x.org/ask", ["<b>", "`ask`", "[PHONE2]", "a@b.org", "/ask"]),
    ("余额￥1,000.00元", ["￥1,000.00元"]),
]


@pytest.mark.parametrize(("text", "parts"), PROTECTED, ids=[text for text, _ in PROTECTED])
def test_a_part_is_protected(text: str, parts: list[str]) -> None:
    spans = protected_spans(text)
    for part in parts:
        start = text.index(part)
        assert any(first <= start and start + len(part) <= last for first, last in spans), part


@pytest.mark.parametrize("text", ["患者目前情况稳定", "She often needs help with meals", "一直觉得很好，一起去"])
def test_general_language_is_not_protected(text: str) -> None:
    assert sum(end - start for start, end in protected_spans(text)) == 0


@given(st.text(alphabet='无不a 1，。:<>"{}[]no', max_size=40))
def test_protected_spans_are_disjoint_sorted_and_inside(text: str) -> None:
    spans = protected_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))


# ------------------------------------------------------------------------------------------ sentences


REWRITES = [
    ("入院后，患者出现发热。", "患者入院后出现发热。"),
    ("患者术后恢复良好。", "术后，患者恢复良好。"),
    ("柜员已经把账户冻结了。", "账户已经被柜员冻结了。"),
    ("账户已被柜员冻结。", "柜员已把账户冻结。"),
    ("In the morning, the patient felt better.", "The patient felt better in the morning."),
    ("The fever rose last week.", "Last week, the fever rose."),
    ("The nurse changed the dressing.", "The dressing was changed by the nurse."),
    ("The loan file was reviewed by the branch manager.", "The branch manager reviewed the loan file."),
]


@pytest.mark.parametrize(("before", "after"), REWRITES)
def test_a_sentence_is_put_another_way(before: str, after: str) -> None:
    ways = [compose(before, way.pieces) for way in sentence_rules.rewrites(before, 0, len(before))]
    assert ways == [after]


STAYS = [
    "患者把没有吃完的药丢了。",
    "术后，患者的情况良好。",
    "The nurse changed the dressing with care.",
    "The nurse changed the dressings.",
    "Today, John felt better.",
    "他把握了机会。",
]


@pytest.mark.parametrize("sentence", STAYS)
def test_a_sentence_that_no_rule_knows_stays(sentence: str) -> None:
    assert list(sentence_rules.rewrites(sentence, 0, len(sentence))) == []


def test_a_sentence_whose_negation_would_grow_stays() -> None:
    sentence = "Today, the patient denies chest pain. "
    note = note_of([sentence] * 40)
    assert run(note, policy=DesensitizePolicy(layers=("entity", "semantic"), semantic_rate=0.1)).text == note.text


class Parrot:
    """A model that loses or keeps what it must keep."""

    def __init__(self, new: str) -> None:
        self.new = new

    def paraphrase(self, sentence: str) -> str:
        """Says always the same."""
        return self.new


@pytest.mark.parametrize(
    ("new", "is_taken"),
    [("She needs aspirin often, she asks. ", True), ("She needs it often. ", False), ("No aspirin, she asks. ", False)],
)
def test_a_paraphrase_stands_only_with_every_protected_span(new: str, is_taken: bool) -> None:
    text = "She asks for aspirin. " + "We go on as we did all the time and we talk about nice things for an hour. " * 5
    draw = KeyedStream.of(KEYS, "noise", "TEXT", "D")
    taken = set()
    for _ in range(40):
        taken.add(new in semantic.rephrase(text, [], draw, rate=0.10, paraphraser=Parrot(new)).text)
    assert (True in taken) is is_taken


def test_a_capital_inside_a_sentence_is_left_alone() -> None:
    note = note_of(["We saw Large and Will Because of it. "] * 30)
    text = run(note, policy=DesensitizePolicy(layers=("entity", "semantic"), semantic_rate=0.1)).text
    assert text.count("Large") == text.count("Because") == 30


# ------------------------------------------------------------------------------------------ edits, terms


def test_pieces_carry_spans_over_moves() -> None:
    text = "abcdef"
    pieces: list[Piece] = [(3, 6), "-", (0, 3)]
    assert compose(text, pieces) == "def-abc"
    assert carry(pieces, [(0, 2), (4, 6), (5, 5)]) == ((4, 6), (1, 3), (2, 2))


def test_a_span_that_is_cut_or_lost_is_refused() -> None:
    assert carry([(0, 3), "x", (3, 6)], [(2, 4)]) is None
    assert carry([(3, 6)], [(0, 1)]) is None


def test_edits_become_pieces() -> None:
    assert compose("abcdef", replaced([(1, 2, "XX"), (4, 4, "+"), (5, 6, "")], 6)) == "aXXcd+e"


def test_the_longest_term_wins_and_latin_terms_stand_alone() -> None:
    finder = TermFinder(["黄斑", "黄斑变性", "ct scan", "rash"], ["CT"])
    text = "黄斑变性 Rash crash ct CT scan CT"
    assert [text[a:b] for a, b in finder.find(text)] == ["黄斑变性", "Rash", "CT scan", "CT"]


@pytest.mark.parametrize("module", [edits, layers, noise, protection, semantic, sentence_rules, term_finder])
def test_all_is_sorted(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(set(names) & set(dir(module)), key=str.casefold)
