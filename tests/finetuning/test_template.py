"""The tokenizer and template that the reasoning model gets: its own opened for thinking, or plain ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.background import silent
from core.finetuning.template import reader_of, tokenizer_files
from core.finetuning.values import FinetuneSpec
from core.models.loading import load_tokenizer
from core.tokens.frames import load_frame
from core.values import ModelSpec
from tests.finetuning.small import spec_of
from tests.tiny_models import CHAT_TEMPLATE, tiny_folder

OPENED = "{% if add_generation_prompt %}{{ '<think>\\n' }}{% endif %}"
CLOSED = CHAT_TEMPLATE.replace("<|assistant|>", "<|assistant|><think>\n\n</think>\n\n")


def _frame(tmp_path: Path, spec: FinetuneSpec) -> tuple[str, str]:
    files = tokenizer_files(spec, tell=silent)
    place = tmp_path / "reader"
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)
    frame = load_frame(load_tokenizer(place))
    return frame.prefix, frame.suffix


@pytest.mark.parametrize(
    ("template", "prefix", "suffix"),
    [
        (CHAT_TEMPLATE, "<|bos|><|user|>", "<|assistant|><think>\n"),
        (CHAT_TEMPLATE + OPENED, "<|bos|><|user|>", "<|assistant|><think>\n"),
        (None, "<|bos|>Question: ", "\nAnswer:\n<think>\n"),
        (CLOSED, "<|bos|><|user|>", "<|assistant|><think>\n\n</think>\n\n"),
    ],
)
def test_the_thinking_is_opened_once(tmp_path: Path, template: str | None, prefix: str, suffix: str) -> None:
    spec = spec_of(tiny_folder(tmp_path, chat_template=template))
    assert _frame(tmp_path, spec) == (prefix, suffix)


def test_a_template_of_another_model_is_taken(tmp_path: Path) -> None:
    other = tiny_folder(tmp_path, name="other", chat_template="{{ 'Q: ' + messages[0]['content'] + ' A:' }}")
    spec = spec_of(tiny_folder(tmp_path), template=str(other))
    assert _frame(tmp_path, spec) == ("Q: ", " A:<think>\n")


@pytest.mark.parametrize("base", ["demo/base", "demo/seeds/1/base"])
def test_the_embedded_base_models_take_that_of_their_reasoning_models(base: str) -> None:
    spec = FinetuneSpec(name="x", base=ModelSpec(repo_id=base), traces="", traces_digest="")
    assert reader_of(spec).repo_id == base[:-4] + "reasoner"
