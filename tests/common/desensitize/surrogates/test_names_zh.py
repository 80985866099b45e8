"""Chinese names: one person stays one, in every way to call them."""

import pytest

from fedward.common.desensitize import tables
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates.names_zh import gender_of
from tests.common.desensitize.surrogates.making import document, replaced

PERSON = EntityType.PERSON
COMPOUND = tables.read_table("names_zh")["compound_surnames"]


def test_one_person_stays_one_with_title_prefix_and_spaces() -> None:
    full, doctor, old, spaced, kin = replaced(PERSON, "张伟", "张医生", "老张", "张 伟", "张伟妈妈")
    surname, given = full[0], full[1]
    assert (surname, given) != ("张", "伟")
    assert (doctor, old) == (f"{surname}医生", f"老{surname}")
    assert (spaced, kin) == (f"{surname} {given}", f"{full}妈妈")


def test_traditional_and_simplified_are_one_person_and_keep_their_script() -> None:
    traditional, plain = replaced(PERSON, "陳麗華", "陈丽华")
    assert tables.simplified(traditional) == plain


@pytest.mark.parametrize(
    ("original", "kept"),
    [
        ("李主任医师", "主任医师"),
        ("王女士", "女士"),
        ("张某某", "某某"),
        ("赵总", "总"),
        ("患者之子王强", "患者之子"),
        ("患者张三", "患者"),
        ("父亲李建国", "父亲"),
        ("王强的妻子", "的妻子"),
        ("小李", "小"),
        ("阿强", "阿"),
    ],
)
def test_titles_kin_and_roles_stay(original: str, kept: str) -> None:
    (fresh,) = replaced(PERSON, original)
    assert kept in fresh
    assert len(fresh) == len(original)
    assert all(a != b for a, b in zip(fresh.replace(kept, ""), original.replace(kept, ""), strict=True))


def test_compound_surname_stays_one() -> None:
    full, titled = replaced(PERSON, "欧阳娜娜", "欧阳女士")
    assert full[:2] in COMPOUND
    assert titled == f"{full[:2]}女士"
    assert full[2] == full[3] != "娜"


@pytest.mark.parametrize("original", ["张伟", "王芳", "李建国", "欧阳娜娜", "买买提·艾力", "秀英", "范", "约翰史密斯"])
def test_length_and_form_are_kept_and_no_character_stays_in_its_place(original: str) -> None:
    (fresh,) = replaced(PERSON, original)
    assert len(fresh) == len(original)
    assert all(a != b or a == "·" for a, b in zip(fresh, original, strict=True))


@pytest.mark.parametrize("original", ["秀英", "建国", "芳", "丽华", "志强"])
def test_gender_cue_is_kept(original: str) -> None:
    assert gender_of(original) is not None
    for patient in map(str, range(20)):
        (fresh,) = replaced(PERSON, original, patient=patient)
        assert gender_of(fresh) == gender_of(original)


def test_two_people_get_two_surrogates_and_no_original_returns() -> None:
    names = ["王芳", "李雷", "赵敏", "孙丽", "周杰", "吴刚", "郑爽", "钱学"]
    for patient in map(str, range(50)):
        fresh = replaced(PERSON, *names, patient=patient)
        assert len(set(fresh)) == len(names)
        assert not {name[0] for name in fresh} & {name[0] for name in names}


def test_known_names_are_avoided_and_the_redraws_counted() -> None:
    surnames = tables.read_table("names_zh")["surnames"]
    known = tuple(f"{surname}伟" for surname in surnames[:400])
    made = document(known={PERSON: known})
    for i in range(20):
        assert made.replace(PERSON, f"{surnames[i]}丽").text[0] not in surnames[:400]
    assert made.num_redraws > 20


@pytest.mark.parametrize(
    "original", ["张伟123", "张伟，", "男性患者一名因咳嗽发热入院治疗三天", "Иван", "田中さん", "张\x00伟", ""]
)
def test_what_is_no_name_becomes_a_placeholder(original: str) -> None:
    made = document().replace(PERSON, original)
    assert made.action == "placeholder" or set("张伟").isdisjoint(made.text)
