"""The base-model provider: find a base, pin it by its digest, load it quietly, and encode hostile text.

Invariants: no code of a model folder ever runs; weights are safetensors only; what was loaded is what was digested;
a converted copy is whole or absent; whatever goes wrong is a ``BaseModelError`` that names the base, with a hint.
Not handled here: whether the architecture can be trained with per-sample gradients.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fedward.common import _validate
from fedward.common.errors import BaseModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Dtype = Literal["float32", "bfloat16"]
Quantization = Literal["none", "nf4"]

_WEIGHTS_INDEX = "model.safetensors.index.json"
# What decides how a base behaves. Code and prose are left out: neither is ever read.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model*",
    "*.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
_DIGESTED_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *_TOKENIZER_FILES)
_PICKLED_FILES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HUB_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
_ENCODE_BATCH = 256  # texts; bounds the tokenizer's bookkeeping for large sites


@dataclass(frozen=True, slots=True)
class Base:
    """A base model on disk.

    Args:
        name: as the user gave it.
        path: a folder with config.json, a tokenizer and safetensors.
        digest: SHA-256, hex, over names and bytes of exactly these files.
    """

    name: str
    path: Path
    digest: str


def resolve_base(
    name: str,
    *,
    embedded: Path | None = None,
    cache_dir: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Base:
    """Find the base called ``name`` and compute its digest.

    Args:
        name: "embedded", "smollm2", an existing folder, or the id of a model on the Hugging Face hub.
        embedded: folder of the model that ships with the simulations, injected by the caller.
        cache_dir: where the converted SmolLM2 is kept; default $XDG_CACHE_HOME/fedward/bases.
        progress: is told, in a sentence, when something slow begins.

    Raises:
        BaseModelError: there is no such base, or it cannot be used.
    """
    say = progress or (lambda _: None)
    if name == "embedded":
        if embedded is None:
            raise BaseModelError("the embedded base is not available to this command")
        path = embedded
    elif name == "smollm2":
        from fedward.client.training import _smollm2

        path = _smollm2.converted(cache_dir, say)
    elif Path(name).is_dir():
        path = Path(name)
    else:
        path = _from_hub(name, say)
    check_folder(path, name)
    return Base(name=name, path=path, digest=digest_folder(path))


def digest_folder(path: Path) -> str:
    """Return the SHA-256, hex, over the files that make a base, sorted: names and SHA-256 of bytes.

    Raises:
        BaseModelError: a file cannot be read.
    """
    total = hashlib.sha256(b"fedward/base/v1\0")
    try:
        for file in _files(path, _DIGESTED_FILES):
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
            name = file.name.encode()
            total.update(len(name).to_bytes(8, "big") + name + content)
    except OSError as error:
        raise BaseModelError(f"the base in {path.name} cannot be read ({error.strerror})") from error
    return total.hexdigest()


def check_folder(path: Path, name: str) -> None:
    """Refuse a folder that is not a safetensors model on its own.

    Raises:
        BaseModelError: something is missing, pickled, or points out of the folder (and so out of the digest).
    """
    config = _read_json(path / "config.json", name)
    if not _files(path, _TOKENIZER_FILES):
        raise BaseModelError(f"base {name!r} has no tokenizer", hint="Copy the tokenizer files into the folder.")
    if not _files(path, ("*.safetensors",)):
        if _files(path, _PICKLED_FILES):
            hint = "Pickled weights can run code. Convert them with save_pretrained(safe_serialization=True)."
            raise BaseModelError(f"base {name!r} has pickled weights only", hint=hint)
        raise BaseModelError(f"base {name!r} has no safetensors weights")
    if (path / "adapter_config.json").exists():
        raise BaseModelError(f"base {name!r} is an adapter", hint="Merge it into its own base first.")
    for key in ("quantization_config", "transformers_weights"):
        if config.get(key) is not None:
            raise BaseModelError(f"base {name!r} sets {key}", hint="Use the unquantised float weights of the model.")
    if (path / _WEIGHTS_INDEX).exists():
        parts = _read_json(path / _WEIGHTS_INDEX, name).get("weight_map")
        present = {file.name for file in _files(path, ("*.safetensors",))}
        if not isinstance(parts, dict) or not set(parts.values()) <= present:
            raise BaseModelError(f"base {name!r}: its index names weights that are not in the folder")


def default_device() -> str:
    """``cuda`` if there is one (an empty CUDA_VISIBLE_DEVICES hides it), else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def require_device(quantization: Quantization) -> None:
    """Refuse a quantised base where it cannot run; to be called before data is read.

    Raises:
        BaseModelError: 4-bit weights without a CUDA device.
    """
    if quantization == "nf4" and default_device() != "cuda":
        raise BaseModelError(
            "nf4 needs a CUDA device; set base.quantization to none",
            hint='Set base.quantization = "none" in the plan, or run the site on a machine with a CUDA device.',
        )


def load_base(
    base: Base, *, device: str | None = None, dtype: Dtype = "float32", quantization: Quantization = "none"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a base in evaluation mode and without a key-value cache, on its device: the adapter is put on afterwards.

    The tokenizer's pad token is set, to the end token if the base brings none.

    Args:
        device: None for ``default_device``.
        dtype: of the weights. float16 is not offered: it needs a scaled loss, under which clipping is not proven.
        quantization: ``nf4`` keeps the linear layers in 4 bits and everything else in bfloat16.

    Raises:
        BaseModelError: the folder changed since it was resolved, or does not hold one whole, finite, matching model; or
            ``nf4`` without a CUDA device or without the package bitsandbytes.
    """
    if dtype not in ("float32", "bfloat16") or quantization not in ("none", "nf4"):
        raise BaseModelError(
            f"a base cannot be loaded as {dtype} with quantization {quantization}",
            hint="base.dtype is float32 or bfloat16, base.quantization is none or nf4.",
        )
    require_device(quantization)
    check_folder(base.path, base.name)
    if digest_folder(base.path) != base.digest:
        raise BaseModelError(f"base {base.name!r} changed since its digest was taken", hint="Start the command again.")
    device = default_device() if device is None else device
    try:
        with quiet():
            model, tokenizer = _load(base.path, device, dtype, quantization)
    except Exception as error:
        # tokenizers raises bare Exception; the text of these errors is for developers, --verbose shows it.
        kind = type(error).__name__
        raise BaseModelError(
            f"base {base.name!r} cannot be loaded as a causal language model ({kind})",
            hint="Check that the folder is complete and its architecture is known to the installed transformers."
            + (" For nf4, install fedward[cuda]." if quantization == "nf4" else ""),
        ) from error
    _check_loaded(base, model, tokenizer)
    model.config.use_cache = False
    model.config.pad_token_id = tokenizer.pad_token_id
    model.train(False)
    if quantization == "none":  # 4-bit weights are made where they stay
        _move(base, model, device)
    return model, tokenizer


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_length_tokens: int
) -> list[list[int]]:
    """Encode each text as begin token, tokens, end token; a text that is too long is cut and has no end token.

    A text cannot smuggle in a control token: "<s>" in a note is split like any other text, and where the vocabulary
    itself holds such a string as a plain word, that token is dropped (the unknown token stays).

    Args:
        tokenizer: of ``load_base``; the end token stands in for a missing begin token.
        texts: any strings.
        max_length_tokens: at least 2; begin and end token count.

    Returns:
        One list per text, of at least 2 and at most ``max_length_tokens`` token ids.

    Raises:
        ConfigError: for a ``max_length_tokens`` below 2.
    """
    _validate.positive(**{"max_length_tokens - 1": max_length_tokens - 1})
    eos = tokenizer.eos_token_id
    bos = eos if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    control = _control_ids(tokenizer) | {bos, eos}
    encoded: list[list[int]] = []
    for start in range(0, len(texts), _ENCODE_BATCH):
        batch = tokenizer(
            list(texts[start : start + _ENCODE_BATCH]),
            add_special_tokens=False,
            split_special_tokens=True,
            truncation=False,
            verbose=False,  # else it warns of texts longer than the model
        )["input_ids"]
        for ids in batch:
            plain = [token for token in ids if token not in control]
            encoded.append([bos, *plain, eos][:max_length_tokens])
    return encoded


def count_scored_bytes(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], token_ids: Sequence[Sequence[int]]
) -> list[int]:
    """Return the UTF-8 bytes of each text that its tokens cover: all of them, or those of a cut text's kept part.

    A character that the cut splits does not count, so a cut text may be short by up to 3 bytes.

    Args:
        tokenizer: the one that encoded.
        texts: as given to ``encode_texts``.
        token_ids: as returned by ``encode_texts``.
    """
    counts: list[int] = []
    for text, ids in zip(texts, token_ids, strict=True):
        covered = text
        if ids[-1] != tokenizer.eos_token_id:
            covered = str(tokenizer.decode(list(ids[1:]), clean_up_tokenization_spaces=False)).rstrip("\ufffd")
        counts.append(len(covered.encode()))
    return counts


def _control_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids no text may contain: all special ones but the unknown token."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}


def _load(
    path: Path, device: str, dtype: Dtype, quantization: Quantization
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    only_local = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(path, **only_local)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        path,
        dtype=torch.bfloat16 if quantization == "nf4" else getattr(torch, dtype),
        use_safetensors=True,
        output_loading_info=True,
        **(nf4_options(device) if quantization == "nf4" else {}),
        **only_local,
    )
    model, info = loaded
    # transformers only warns of these and draws the weights at random.
    if info["missing_keys"] or info["mismatched_keys"] or info.get("error_msgs"):
        raise ValueError("weights are missing or of the wrong shape")
    return model, tokenizer


def nf4_options(device: str) -> dict[str, Any]:
    """What makes transformers load the linear layers in 4 bits; they are quantised on the device, layer by layer."""
    import torch
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _check_loaded(base: Base, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    import torch

    if tokenizer.eos_token_id is None:
        raise BaseModelError(f"base {base.name!r}: the tokenizer has no end token", hint="Set eos_token.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    embedding: Any = model.get_input_embeddings()
    rows = int(embedding.weight.shape[0])
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if max(len(tokenizer), largest + 1) > rows:
        raise BaseModelError(f"base {base.name!r}: the tokenizer has more tokens than the model's {rows} embeddings")
    if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
        raise BaseModelError(f"base {base.name!r}: some weights are not finite")


def _move(base: Base, model: torch.nn.Module, device: str) -> None:
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        hint = "Free memory on the device, or hide it with an empty CUDA_VISIBLE_DEVICES to train on the CPU."
        raise BaseModelError(f"base {base.name!r} cannot be moved to device {device!r}", hint=hint) from error


def _from_hub(name: str, say: Callable[[str], None]) -> Path:
    if not _HUB_ID.fullmatch(name):
        raise BaseModelError(f"base {name!r}: no such folder")
    import huggingface_hub

    say(f"looking for {name} on the Hugging Face hub")
    try:
        with quiet():
            # Only what the digest covers comes down: no code, no pickle.
            found = huggingface_hub.snapshot_download(name, allow_patterns=list(_DIGESTED_FILES))
    except Exception as error:
        raise BaseModelError(
            f"base {name!r}: no such folder, and not on the hub or the hub cannot be reached ({type(error).__name__})",
            hint="Without a network use --base embedded, --base smollm2 or the path of a downloaded model.",
        ) from error
    return Path(found)


def _files(path: Path, patterns: Sequence[str]) -> list[Path]:
    names = [entry for entry in path.iterdir() if any(fnmatch.fnmatchcase(entry.name, p) for p in patterns)]
    return sorted((entry for entry in names if entry.is_file()), key=lambda entry: entry.name)


def _read_json(file: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BaseModelError(f"base {name!r} has no {file.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BaseModelError(f"base {name!r}: {file.name} cannot be read") from error
    if not isinstance(content, dict):
        raise BaseModelError(f"base {name!r}: {file.name} is not a JSON object")
    return content


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars, log lines and Python warnings of the model libraries; put all back after.

    Process-wide while it lasts: not for two threads at once.
    """
    # Looked up by name: neither module declares these functions to a type checker.
    hub_utils: Any = importlib.import_module("huggingface_hub.utils")
    logging: Any = importlib.import_module("transformers.utils.logging")
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_had_bars = not hub_utils.are_progress_bars_disabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    hub_utils.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
        # After transformers, which switches the hub's bars along with its own.
        (hub_utils.enable_progress_bars if hub_had_bars else hub_utils.disable_progress_bars)()
