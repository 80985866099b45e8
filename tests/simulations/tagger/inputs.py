"""A handful of lines in the form of each input of the build."""

from __future__ import annotations

import json
from pathlib import Path

from fedward.simulations.tagger.build import Inputs

JIEBA = """毛泽东 900 nr
崇高 800 nr
王芳 3 nr
爱因斯坦 50 nrt
北京 3000 ns
外交部 400 nt
血压 500 n
治疗 900 v
明天 300 t
医院 800 n
高血压 70 n
何首乌 26 nr
服用 60 v"""
DIALOGUE = [
    {"title": "高血压吃什么？", "question": "医生，我妈妈血压高。", "text": "患者应到北京检查。孩子需要休息。"},
    {"title": "头痛", "question": "他头痛三天了。", "text": "建议到北京大学第一医院检查。"},
]
TREEBANK = """# sent_id = 1
# text = 張偉明在北京看病。
1\t張偉明\tB-PER\t-\t-
2\t在\tO\t-\t-
3\t北京\tB-LOC\t-\t-
4\t看病\tO\t-\t-
5\t。\tO\t-\t-

# text = 斯蒂芬 霍金 来了
1\t斯蒂芬\tB-PER\t-\t-
2\t霍金\tI-PER\t-\t-
3\t来\tO\t-\t-
4\t了\tB-OTH\t-\t-
"""
TALK = [
    {
        "messages": [
            {"message": "知道花木兰吗？"},
            {
                "message": "知道，是刘亦菲主演的《花木兰》，导演在北京。",
                "attrs": [
                    {"name": "花木兰（2020年电影）", "attrname": "主演", "attrvalue": "刘亦菲、甄子丹"},
                    {"name": "花木兰（2020年电影）", "attrname": "上映时间", "attrvalue": "2020年"},
                    {"name": "刘亦菲", "attrname": "出生日期", "attrvalue": "1987年"},
                ],
            },
        ]
    }
]
PARAGRAPHS = {"data": [{"paragraphs": [{"context": "李白出生于碎叶城。他写了许多诗。"}]}]}
CITIES = {
    "1": {"countrycode": "FR", "alternatenames": ["Lyon", "里昂"]},
    "2": {"countrycode": "CN", "alternatenames": ["杭州"]},
}
LISTS = {
    "lishimingren": "李白\t900\n陆军\t30\n",
    "diming": "\ufeff苏州\t900\r中关村\t30\r",
    "law": "违约行为\t100\n武凯\t1950\n罕用词\t2\n",
}
WORD_LISTS = ("chengyu", "food", "caijing", "car", "law", "IT", "medical", "animal", "lishimingren", "diming")


def write_inputs(folder: Path) -> Inputs:
    """Write every input under ``folder``."""
    for name in ("thuocl", "kdconv", "ntrex", "paragraphs"):
        (folder / name).mkdir()
    for name in WORD_LISTS:
        (folder / "thuocl" / f"THUOCL_{name}.txt").write_text(LISTS.get(name, ""), "utf-8")
    lines = [json.dumps(row, ensure_ascii=False) for row in DIALOGUE * 20]
    texts = {
        "dict.txt": JIEBA,
        "data.jsonl": "\n".join(lines),
        "cities.json": json.dumps(CITIES, ensure_ascii=False),
        "train.iob2": TREEBANK,
        "kdconv/film.json": json.dumps(TALK, ensure_ascii=False),
        "ntrex/zho-CN.txt": "总统克林顿昨天抵达北京。\n\n",
        "paragraphs/dev.json": json.dumps(PARAGRAPHS, ensure_ascii=False),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    return Inputs(
        jieba=folder / "dict.txt",
        dialogue=folder / "data.jsonl",
        thuocl=folder / "thuocl",
        cities=folder / "cities.json",
        uner=folder / "train.iob2",
        kdconv=folder / "kdconv",
        ntrex=folder / "ntrex",
        paragraphs=folder / "paragraphs",
    )


__all__ = ["DIALOGUE", "write_inputs"]
