"""Tokenizers of every kind: control tokens in a text stay text, ids beyond the model's rows, two vocabularies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from core.errors import BadInput, ModelUnavailable
from core.models.loaded import LoadedModel, encode_prompt, load_model
from core.tokens.encoding import Encoder
from core.tokens.frames import ChatFrame
from core.tokens.readers import check_same_words, readers_of
from core.tokens.vocabulary import compare_vocabularies
from core.values import ModelSpec
from tests.tiny_models import BOS, EOS, SENTENCES, tiny_folder, tiny_loaded, tiny_tokenizer_json

SPECIAL = ["<unk>", "<s>", "</s>", "[SEP]", "<think>", "</think>"]
WORDS = [*SENTENCES, "The mark </s> ends a text, [SEP] and <think> do not. s/ <>"]
ROWS = 352
"""Of the embedding of the tiny models."""
FRAME = ChatFrame("<s>User: ", "</s><think>\n", "template")


def unigram(scheme: str = "always", normalizer: Any = None) -> Tokenizer:
    """As sentencepiece makes them: control tokens are pieces of the vocabulary."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)  # type: ignore[arg-type]
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)  # type: ignore[arg-type]
    trainer = trainers.UnigramTrainer(vocab_size=160, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(WORDS, trainer)
    return tokenizer


def llama_bpe() -> Tokenizer:
    """As Llama 2 has it: no pre-tokenizer, spaces written as ▁, whole words taken from the vocabulary first."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, ignore_merges=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(WORDS, trainer)
    return tokenizer


def word_piece(kind: str = "WordPiece") -> Tokenizer:
    """Words between spaces, in lower case."""
    letters = sorted({c for text in WORDS for c in text.lower() if c != " "})
    vocab = {t: i for i, t in enumerate([*SPECIAL, *letters, *(f"##{c}" for c in letters), "the", "mark", "user:"])}
    model = models.WordPiece(vocab, unk_token="<unk>") if kind == "WordPiece" else models.WordLevel(vocab, "<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def byte_bpe() -> Tokenizer:
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json())
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


KINDS = {
    "Unigram": unigram,
    "Unigram, first": lambda: unigram("first"),
    "Unigram, NFKC": lambda: unigram(normalizer=normalizers.NFKC()),
    "Llama's BPE": llama_bpe,
    "WordPiece": word_piece,
    "WordLevel": lambda: word_piece("WordLevel"),
    "byte-level BPE": byte_bpe,
}


def fast(backend: Tokenizer) -> Any:
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys(), scope="module")
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return fast(request.param())


def controls_in(tokenizer: Any, ids: Any) -> list[str]:
    known = {i: t for t, i in tokenizer.get_vocab().items() if t in SPECIAL and t != "<unk>"}
    return [known[i] for i in ids if i in known]


@pytest.mark.parametrize(
    "question",
    [
        "</s>",
        "The mark </s> ends",
        " </s> ",
        "a</s>b",
        "[SEP] <think> </think>",
        "<s>",
        "</S> [sep]",
        "＜/s＞",
        "x <unk>",
    ],
)
def test_a_control_token_in_a_question_stays_text(tokenizer: Any, question: str) -> None:
    prompt = Encoder(tokenizer, 512).prompt(FRAME, question)
    assert controls_in(tokenizer, prompt.token_ids) == ["<s>", "</s>", "<think>"]


def test_text_without_control_tokens_is_encoded_as_the_tokenizer_does(tokenizer: Any) -> None:
    text = FRAME.render("The sum of 3 and 4")
    assert Encoder(tokenizer, 512).prompt(FRAME, "The sum of 3 and 4").token_ids == tuple(
        tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    )


def test_the_frame_is_encoded_alike_whether_or_not_the_question_holds_a_control_token(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 512)
    plain, hostile = (encoder.prompt(FRAME, f"The {word} sum").token_ids for word in ("mark", "</s>"))
    start = 1 + next(k for k, (a, b) in enumerate(zip(plain, hostile, strict=False)) if a != b)
    behind = len(tokenizer.backend_tokenizer.encode("</s><think>\n", add_special_tokens=False).ids)
    assert start > 2
    assert plain[-behind:] == hostile[-behind:]


def test_thought_marks_of_a_trace_are_tokens_and_other_marks_are_text(tokenizer: Any) -> None:
    reading = Encoder(tokenizer, 512).reading(FRAME, "The sum", "one</think>two</s>")
    assert controls_in(tokenizer, reading.token_ids) == ["<s>", "</s>", "<think>", "</think>"]
    assert [end for _, end in reading.spans][-1] == len("one</think>two</s>")


def test_private_characters_in_a_text_do_not_become_control_tokens(tokenizer: Any) -> None:
    hostile = "".join(chr(0xF0000 + k) * 4 for k in range(12)) + " </s>"
    prompt = Encoder(tokenizer, 512).prompt(FRAME, hostile)
    assert controls_in(tokenizer, prompt.token_ids) == ["<s>", "</s>", "<think>"]


# --- ids beyond the rows of the embedding


def with_added(folder: Path, *, special: bool, **config: Any) -> ModelSpec:
    """The folder with tokens <|350|> to <|354|>, of which its model has rows for the first two, as a spec."""
    path = folder / "tokenizer.json"
    state = json.loads(path.read_text())
    like = {**state["added_tokens"][0], "special": special}
    state["added_tokens"] += [{**like, "id": i, "content": f"<|{i}|>"} for i in range(350, 355)]
    path.write_text(json.dumps(state))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return ModelSpec(repo_id=str(folder))


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("config", [{}, {"pad_token": "<|354|>", "extra_special_tokens": {"image": "<|353|>"}}])
def test_added_ids_beyond_the_rows_are_read_as_text_and_never_written(tmp_path: Path, special: bool, config: Any):
    loaded = load_model(with_added(tiny_folder(tmp_path), special=special, **config))
    plain = tiny_loaded(tmp_path, seed=0)
    assert loaded.d_vocab == ROWS == 352
    assert encode_prompt(loaded, "Hi there").token_ids == encode_prompt(plain, "Hi there").token_ids
    assert max(loaded.tokenizer.get_vocab().values()) == ROWS - 1
    ids = encode_prompt(loaded, "see <|353|> here").token_ids
    assert max(ids) < ROWS
    loaded.model(torch.tensor([ids]))
    assert "see <|353|> here" in "".join(loaded.encoder.pieces(ids))
    assert len(loaded.vocabulary_texts()) == ROWS
    assert max(loaded.eos_ids) < ROWS
    with pytest.raises(BadInput, match="does not have: 352"):
        loaded.check_fits([0, 352])


def test_an_end_token_beyond_the_rows_ends_nothing(tmp_path: Path) -> None:
    loaded = load_model(with_added(tiny_folder(tmp_path), special=True, eos_token="<|352|>"))
    assert max(loaded.eos_ids, default=0) < ROWS


def test_a_tokenizer_that_adds_its_start_token_still_does(tmp_path: Path) -> None:
    loaded = load_model(with_added(tiny_folder(tmp_path, chat_template=None), special=True))
    assert loaded.frame.prefix == BOS
    assert encode_prompt(loaded, "Hi").token_ids[0] == loaded.tokenizer.bos_token_id


def test_a_template_that_writes_such_a_token_is_refused(tmp_path: Path) -> None:
    spec = with_added(tiny_folder(tmp_path, chat_template="{{ messages[0].content }}<|352|>"), special=True)
    with pytest.raises(ModelUnavailable, match=r"chat template writes .*, whose id 352 lies beyond"):
        load_model(spec)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    state = json.loads((folder / "tokenizer.json").read_text())
    state["model"]["vocab"] |= {f"Ġzzz{i}": i for i in range(350, 354)}
    (folder / "tokenizer.json").write_text(json.dumps(state))
    with pytest.raises(ModelUnavailable, match=r"2 words that the model does not.*'Ġzzz352' has the id 352"):
        load_model(ModelSpec(repo_id=str(folder)))


# --- two vocabularies


def permuted(folder: Path) -> ModelSpec:
    """The folder with the ids of all ordinary tokens turned round, the vocabulary being of the same size."""
    path = folder / "tokenizer.json"
    state = json.loads(path.read_text())
    n_special = len(state["added_tokens"])
    vocab = state["model"]["vocab"]
    state["model"]["vocab"] = {t: i if i < n_special else len(vocab) + n_special - 1 - i for t, i in vocab.items()}
    path.write_text(json.dumps(state))
    return ModelSpec(repo_id=str(folder))


@pytest.fixture(scope="module")
def other_words(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, LoadedModel]:
    reasoner = tiny_loaded(tmp_path_factory.mktemp("reasoner"))
    base = load_model(permuted(tiny_folder(tmp_path_factory.mktemp("base"), seed=1)), frame_from=reasoner)
    return base, reasoner


def test_a_permuted_vocabulary_of_the_same_size_is_found(other_words: tuple[LoadedModel, LoadedModel]) -> None:
    base, reasoner = other_words
    assert base.d_vocab == reasoner.d_vocab
    found = readers_of(base, reasoner)
    assert found.n_differences == found.n_words == 344
    with pytest.raises(BadInput, match="344 token ids mean other words"):
        check_same_words(base, reasoner)
    check_same_words(base, base)


def test_marks_that_only_one_of_them_has_are_no_words(tmp_path: Path) -> None:
    ours, theirs = (fast(byte_bpe()) for _ in range(2))
    theirs.add_special_tokens({"additional_special_tokens": [AddedToken("<more>", special=True)]})
    found = compare_vocabularies(ours, theirs)
    assert (len(found.ids), found.n_words) == (1, 0)


def test_the_same_text_reaches_both_models_in_their_own_tokens(other_words: tuple[LoadedModel, LoadedModel]) -> None:
    base, reasoner = other_words
    a, b = (encode_prompt(loaded, "The sum of 3 and 4").token_ids for loaded in (base, reasoner))
    assert a != b
    assert "The sum of 3 and 4" in "".join(base.encoder.pieces(a))
    assert EOS not in "".join(base.encoder.pieces(a))
