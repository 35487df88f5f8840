"""Loading: what comes back equals the plain model, in every family and precision, and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

from core.errors import BadInput, ModelUnavailable, OutOfMemory
from core.models import loading
from core.models.checkpoints import estimate_memory
from core.models.loaded import LoadedModel, encode_prompt, encode_text, load_model, pieces, unload
from core.models.loading import use_threads
from core.tokens.frames import ChatFrame
from core.values import ModelSpec
from tests import zoo
from tests.runs.test_generation import complete, spec_of
from tests.tiny_models import (
    ASSISTANT,
    BOS,
    END_THINK,
    EOS,
    SENTENCES,
    SPECIAL_TOKENS,
    THINK,
    USER,
    allow_root,
    tiny_folder,
    tiny_loaded,
)

FAMILIES: list[Any] = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gpt_neox"]
QUESTION = "What is 3 + 4?"


def _spec(folder: Path, **changes: Any) -> ModelSpec:
    return ModelSpec(repo_id=str(folder), **changes)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny Llama with a chat template that opens with its start token."""
    return tiny_loaded(tmp_path_factory.mktemp("llama"))


def _ids(loaded: LoadedModel, *texts: str) -> list[int]:
    return [loaded.tokenizer.convert_tokens_to_ids(t) for t in texts]


# --- what is loaded


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_every_family(tmp_path: Path, family: Any) -> None:
    loaded = tiny_loaded(tmp_path, family, n_layers=4, d_model=32)
    config = loaded.model.config
    assert loaded.n_layers == len(loaded.layers) == config.num_hidden_layers == 4
    assert loaded.d_model == config.hidden_size == 32
    assert loaded.d_vocab == loaded.unembed.weight.shape[0] == config.vocab_size
    assert loaded.context_length == config.max_position_embeddings
    assert loaded.eos_ids == {1}
    assert loaded.compute_dtype == torch.float32
    assert loaded.device == torch.device("cpu")
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_fp32_logits_equal_the_plain_model(tmp_path: Path, family: Any) -> None:
    folder = tiny_folder(tmp_path, family)
    loaded = load_model(_spec(folder))
    softcapped = family == "gemma2"
    plain = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager" if softcapped else "sdpa"
    )
    ids = torch.tensor([encode_prompt(loaded, QUESTION).token_ids])
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(ids).logits, plain(ids).logits, rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_unembed_of_the_normed_decoder_output_is_the_logits(tmp_path: Path, family: Any) -> None:
    loaded = tiny_loaded(tmp_path, family)
    ids = torch.tensor([[0, 5, 9, 30]])
    seen: list[torch.Tensor] = []
    handle = loaded.layers[-1].register_forward_hook(
        lambda _m, _a, out: seen.append(out if isinstance(out, torch.Tensor) else out[0])
    )
    with torch.no_grad():
        logits = loaded.model(ids).logits
        handle.remove()
        hidden = loaded.decoder(ids).last_hidden_state
        torch.testing.assert_close(loaded.final_norm(seen[0]), hidden)
        cap = getattr(loaded.model.config, "final_logit_softcapping", None)
        rebuilt = loaded.unembed(hidden)
        torch.testing.assert_close(torch.tanh(rebuilt / cap) * cap if cap else rebuilt, logits)


@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral", "gemma", "gpt_neox"])
def test_lower_precision_is_close_and_streams_in_bf16(tmp_path: Path, family: Any, precision: Any) -> None:
    if precision != "bf16":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes has no build for this platform")
    folder = tiny_folder(tmp_path, family, d_model=64)
    full, low = load_model(_spec(folder)), load_model(_spec(folder, precision=precision))
    assert low.compute_dtype == torch.bfloat16
    ids = torch.tensor([encode_prompt(full, QUESTION).token_ids])
    with torch.no_grad():
        exact, near = full.decoder(ids).last_hidden_state, low.decoder(ids).last_hidden_state.float()
    cosine = torch.nn.functional.cosine_similarity(exact.flatten(), near.flatten(), dim=0)
    assert cosine > {"bf16": 0.999, "int8": 0.99, "nf4": 0.9}[precision]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "nf4"])
def test_estimate_is_what_the_weights_take(tmp_path: Path, precision: Any) -> None:
    folder = tiny_folder(tmp_path, d_model=256)
    loaded = load_model(_spec(folder, precision=precision))
    taken = 0
    for parameter in loaded.model.parameters():
        state = getattr(parameter, "quant_state", None)
        taken += parameter.numel() * parameter.element_size()
        if state is not None:
            taken += state.absmax.numel() * state.absmax.element_size()
    assert estimate_memory(_spec(folder, precision=precision)).weights_bytes == pytest.approx(taken, rel=0.02)


def test_every_end_token_counts(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    for given_ids, expected in (([5, 9], {1, 5, 9}), (7, {1, 7}), (["x", None], {1})):
        _change(folder / "generation_config.json", eos_token_id=given_ids)
        assert load_model(_spec(folder)).eos_ids == expected


def test_progress_tells_every_step(tmp_path: Path) -> None:
    said: list[str] = []
    load_model(_spec(tiny_folder(tmp_path)), progress=lambda message, share=None: said.append(message.split(":")[0]))
    kinds = [" ".join(kind.split()[:3]) for kind, _ in itertools.groupby(said)]
    assert kinds == ["Checking the files", "Checking the memory", "Loading the tokenizer", "Loading the weights"]


def test_tiny_models_are_quick_and_reproducible(tmp_path: Path, loaded: LoadedModel) -> None:
    start = time.monotonic()
    again = tiny_loaded(tmp_path)
    assert time.monotonic() - start < 1
    assert again.fingerprint == loaded.fingerprint
    assert tiny_loaded(tmp_path, seed=1).fingerprint != loaded.fingerprint


def test_unload_frees_the_weights(tmp_path: Path) -> None:
    loaded = tiny_loaded(tmp_path)
    unload(loaded)
    assert not list(loaded.model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "nf4"])
def test_loading_and_running_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str], precision: Any) -> None:
    folder = tiny_folder(tmp_path, d_model=64)
    capfd.readouterr()
    load_model(_spec(folder, precision=precision)).model(torch.tensor([[0, 1]]))
    assert capfd.readouterr() == ("", "")


# --- what is refused


@pytest.mark.parametrize("device", ["cuda", "cuda:99", "mps", "tpu", "", "cpu:x"])
def test_absent_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ModelUnavailable, match="no device") as caught:
        load_model(_spec(tiny_folder(tmp_path), device=device))
    assert "cpu" in caught.value.remedy


@pytest.mark.parametrize(
    ("cards", "apple", "expected"),
    [(0, False, ("cpu",)), (1, False, ("cuda", "cpu")), (2, True, ("cuda", "cuda:1", "mps", "cpu"))],
)
def test_devices_that_are_here_the_best_at_first(
    monkeypatch: pytest.MonkeyPatch, cards: int, apple: bool, expected: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
    assert loading.present_devices() == expected


@pytest.mark.parametrize("precision", ["fp16", "", "FP32", "int4"])
def test_another_precision_is_refused_instead_of_loaded_as_bf16(precision: Any) -> None:
    with pytest.raises(BadInput, match="not a precision"):
        ModelSpec(repo_id="demo/base", precision=precision)


def test_card_number_beyond_the_cards_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    loading.check_device(_spec(tmp_path, device="cuda:1"))
    with pytest.raises(ModelUnavailable, match="cuda:2"):
        loading.check_device(_spec(tmp_path, device="cuda:2"))


def test_too_little_memory_is_refused_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "available_memory", lambda device: 1000)
    monkeypatch.setattr(loading, "AutoModelForCausalLM", None)
    with pytest.raises(ModelUnavailable, match=r"needs about .* GB .* are free") as caught:
        load_model(_spec(tiny_folder(tmp_path)))
    assert "bf16, int8 or nf4" in caught.value.remedy


def test_the_memory_that_loading_takes_for_a_while_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free is what the weights and their cache take, less than what quantising takes."""
    spec = _spec(tiny_folder(tmp_path, d_model=256, context_length=16), precision="nf4")
    estimate = estimate_memory(spec)
    enough = estimate.weights_bytes + 16 * estimate.kv_bytes_per_token
    assert enough < estimate.peak_bytes
    monkeypatch.setattr(loading, "available_memory", lambda device: enough)
    with pytest.raises(ModelUnavailable, match="are free"):
        load_model(spec)
    monkeypatch.setattr(loading, "available_memory", lambda device: estimate.peak_bytes)
    assert load_model(spec).n_layers == 3


def test_the_vocabulary_is_decoded_in_one_call_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_model(_spec(tiny_folder(tmp_path)))
    one_by_one = [loaded.tokenizer.decode([i]) for i in range(len(loaded.tokenizer))]
    for name in ("decode", "batch_decode"):
        monkeypatch.setattr(type(loaded.tokenizer), name, lambda *_, **__: pytest.fail("decoded token by token"))
    texts = loaded.vocabulary_texts()
    assert list(texts[: len(one_by_one)]) == one_by_one
    assert len(texts) == loaded.d_vocab
    assert loaded.vocabulary_texts() is texts


def test_running_out_while_loading_names_smaller_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(OutOfMemory) as caught:
        load_model(_spec(tiny_folder(tmp_path), precision="bf16"))
    assert "int8 or nf4" in caught.value.remedy


def _change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("config.json", {"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM"),
        ("config.json", {"architectures": [5]}, "decoder-only"),
        ("config.json", {"architectures": None}, "llama"),
        ("config.json", {"is_encoder_decoder": True}, "decoder-only"),
        ("config.json", {"model_type": "martian"}, "not understood"),
        ("config.json", {"num_hidden_layers": 10**9}, "decoder-only"),
        ("config.json", {"vocab_size": 10**12}, "352 × 32 instead of 1,000,000,000,000 × 32"),
        ("config.json", {"hidden_size": 10**6, "head_dim": 250_000}, "do not fit"),
        ("config.json", {"rope_parameters": 3}, "not understood|could not be loaded"),
        ("config.json", {"dtype": "evil"}, "not understood|could not be loaded"),
        ("config.json", {"intermediate_size": 96}, "64 × 32 instead of 96 × 32"),
        ("config.json", {"num_hidden_layers": 5}, "describes a model of [0-9,]+ weights, and the files hold"),
        ("config.json", {"num_hidden_layers": 2}, r"does not use: model\.layers\.2\."),
        ("config.json", {"hidden_size": "many"}, "decoder-only"),
        ("tokenizer.json", {"model": None}, "tokenizer cannot be read"),
        ("tokenizer_config.json", {"chat_template": "{{ 'a' * 10**9 }}"}, "chat template"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path: Path, name: str, changes: Any, why: str) -> None:
    folder = tiny_folder(tmp_path)
    _change(folder / name, **changes)
    with pytest.raises(ModelUnavailable, match=why):
        load_model(_spec(folder))


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_other_architectures_are_refused(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path)
    small = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 32}
    if kind == "bert":
        model: Any = transformers.BertLMHeadModel(transformers.BertConfig(vocab_size=352, **small))
    else:
        config = transformers.T5Config(vocab_size=352, d_model=32, d_ff=32, d_kv=8, num_layers=1, num_heads=4)
        model = transformers.T5ForConditionalGeneration(config)
    model.save_pretrained(folder)
    with pytest.raises(ModelUnavailable, match="decoder-only"):
        load_model(_spec(folder))


def test_slow_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"not a tokenizer")
    with pytest.raises(ModelUnavailable, match="tokenizer"):
        load_model(_spec(folder))


def test_tokenizer_json_is_taken_as_it_stands(tmp_path: Path, loaded: LoadedModel) -> None:
    folder = tiny_folder(tmp_path)
    _change(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast", legacy=True)
    text = "Wait,  let me\ncheck é"
    ours = load_model(_spec(folder))
    assert encode_text(ours, QUESTION, text) == encode_text(loaded, QUESTION, text)
    assert "".join(pieces(ours, encode_prompt(ours, text).token_ids)).count(text) == 1


def test_tokenizer_s_own_truncation_and_padding_are_off(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))
    loaded = load_model(_spec(folder))
    ids = encode_prompt(loaded, QUESTION).token_ids
    assert "".join(pieces(loaded, ids)) == loaded.frame.render(QUESTION)


# --- prompts


def test_prompt_is_the_rendered_text_encoded_once(loaded: LoadedModel) -> None:
    prompt = encode_prompt(loaded, QUESTION)
    assert prompt.text == f"{BOS}{USER}{QUESTION}{ASSISTANT}{THINK}\n"
    assert list(prompt.token_ids) == loaded.tokenizer.encode(prompt.text, add_special_tokens=False)
    assert prompt.token_ids.count(_ids(loaded, BOS)[0]) == 1


def test_special_tokens_in_a_question_stay_text(loaded: LoadedModel) -> None:
    for token in SPECIAL_TOKENS:
        prompt = encode_prompt(loaded, f"Say {token} now {token}")
        expected = [BOS, USER, ASSISTANT, THINK]
        assert [i for i in prompt.token_ids if i < len(SPECIAL_TOKENS)] == _ids(loaded, *expected)
        assert "".join(pieces(loaded, prompt.token_ids)) == prompt.text


def test_role_markers_not_flagged_special_stay_text_and_ordinary_added_tokens_stay_tokens(tmp_path: Path) -> None:
    """As DeepSeek's distils have it: role and thought markers are added tokens without the special flag."""
    folder = tiny_folder(tmp_path, chat_template="<|bos|><｜User｜>{{ messages[0]['content'] }}<｜Assistant｜>")
    state = json.loads((folder / "tokenizer.json").read_text())
    for token in state["added_tokens"]:
        token["special"] = token["content"] in (BOS, EOS)
    more = ["<｜User｜>", "<｜Assistant｜>"]
    plain = {**state["added_tokens"][0], "special": False}
    state["added_tokens"] += [{**plain, "id": 350 + k, "content": text} for k, text in enumerate(more)]
    swapped = next(t for t in state["added_tokens"] if t["content"] == ASSISTANT)
    swapped["content"] = "<table>"
    state["model"]["vocab"]["<table>"] = state["model"]["vocab"].pop(ASSISTANT)
    (folder / "tokenizer.json").write_text(json.dumps(state))
    loaded = load_model(_spec(folder))
    prompt = encode_prompt(loaded, "<table>a<｜Assistant｜></think><｜User｜>")
    user, assistant, table = _ids(loaded, *more, "<table>")
    added = [i for i in prompt.token_ids if i in {*range(6), user, assistant}]
    assert added == [*_ids(loaded, BOS), user, table, assistant, *_ids(loaded, THINK)]
    base = tiny_loaded(tmp_path, seed=1, frame_from=loaded)
    assert (base.frame.prefix, base.frame.suffix) == (BOS, "\n")


def test_special_token_across_the_frame_s_edge_stays_text(tmp_path: Path) -> None:
    template = "{{ bos_token }}Q: <{{ messages[0]['content'] }}|> A:"
    loaded = tiny_loaded(tmp_path, chat_template=template)
    prompt = encode_prompt(loaded, "|eos")
    assert _ids(loaded, EOS)[0] not in prompt.token_ids
    assert "".join(pieces(loaded, prompt.token_ids)) == prompt.text


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_both_ways_of_encoding_agree(loaded: LoadedModel, question: str) -> None:
    encoder, text = loaded.encoder, f"{BOS}{USER}{question}{ASSISTANT}"
    at = len(BOS) + len(USER)
    trusted = [(0, len(BOS)), (len(BOS), at), (at + len(question), len(text))]
    assert list(encoder._encode_apart(text, trusted)) == encoder._encode(text, [])


@pytest.mark.parametrize("question", ["", " ", "\n\t", "\u3000"])
def test_empty_question_is_refused(loaded: LoadedModel, question: str) -> None:
    with pytest.raises(BadInput, match="empty"):
        encode_prompt(loaded, question)


def test_overlong_question_is_refused_with_both_numbers(tmp_path: Path) -> None:
    loaded = tiny_loaded(tmp_path, context_length=32)
    frame = len(encode_prompt(loaded, "a").token_ids) - 1
    fits = "~" * (31 - frame)
    assert len(encode_prompt(loaded, fits).token_ids) == 31
    with pytest.raises(BadInput, match=r"takes 32 tokens.* at most 31"):
        encode_prompt(loaded, fits + "~")
    assert len(encode_text(loaded, "a", "~" * (31 - frame)).token_ids) == 32
    with pytest.raises(BadInput, match="33 tokens"):
        encode_text(loaded, "a", "~" * (32 - frame))


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_lone_surrogate_is_refused(loaded: LoadedModel, text: str) -> None:
    with pytest.raises(BadInput, match="surrogate"):
        encode_prompt(loaded, text)
    with pytest.raises(BadInput, match="surrogate"):
        encode_text(loaded, QUESTION, text)


# --- texts


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(SENTENCES))
def test_every_character_of_a_text_has_its_tokens(loaded: LoadedModel, text: str) -> None:
    reading = encode_text(loaded, QUESTION, text)
    spans = reading.spans
    assert len(spans) == len(reading.token_ids) - reading.text_start
    covered = {k for start, end in spans for k in range(start, end)}
    assert covered == set(range(len(text)))
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(spans))
    whole = loaded.frame.render(QUESTION) + text
    assert "".join(pieces(loaded, reading.token_ids)) == whole


def test_reading_begins_like_its_prompt(loaded: LoadedModel) -> None:
    prompt, reading = encode_prompt(loaded, QUESTION), encode_text(loaded, QUESTION, SENTENCES[0])
    assert reading.token_ids[: reading.text_start] == prompt.token_ids
    assert reading.spans[0][0] == 0
    assert encode_text(loaded, QUESTION, "").text_start == len(prompt.token_ids)


def test_token_across_the_edge_counts_to_the_text(tmp_path: Path) -> None:
    frame = ChatFrame(prefix="", suffix="\nSolution: Wa", source="raw")
    loaded = dataclasses.replace(tiny_loaded(tmp_path), frame=frame)
    reading = encode_text(loaded, "Q", "it, let me check")
    first = pieces(loaded, reading.token_ids)[reading.text_start]
    assert first.strip().startswith("Wai")
    assert reading.spans[0] == (0, len(first.strip()) - len("Wa"))


def test_thought_markers_of_a_trace_are_tokens_and_roles_are_not(loaded: LoadedModel) -> None:
    reading = encode_text(loaded, f"{END_THINK}?", f"So{END_THINK}7{EOS}{USER}{THINK}")
    special = [i for i in reading.token_ids if i < len(SPECIAL_TOKENS)]
    assert special == _ids(loaded, BOS, USER, ASSISTANT, THINK, END_THINK, THINK)


# --- base models


def test_base_reads_the_reasoner_s_text_without_its_tokens(tmp_path: Path) -> None:
    reasoner = tiny_loaded(
        tmp_path, chat_template="{{ bos_token }}Problem: {{ messages[0]['content'] }}\nSolution:{{ '\n' }}"
    )
    for template in (None, "{{ bos_token }}base's own {{ messages[0]['content'] }}"):
        base = tiny_loaded(tmp_path, seed=1, chat_template=template, frame_from=reasoner)
        assert base.frame.prefix == f"{BOS}Problem: "
        assert base.frame.suffix == "\nSolution:\n"
        assert base.frame.source == "plain"
        reading = encode_text(base, QUESTION, f"So{END_THINK}7")
        assert [i for i in reading.token_ids if i < len(SPECIAL_TOKENS)] == _ids(base, BOS)
        theirs = encode_text(reasoner, QUESTION, "Wait, 7.")
        ours = encode_text(base, QUESTION, "Wait, 7.")
        assert ours.token_ids[ours.text_start :] == theirs.token_ids[theirs.text_start :]
        assert ours.spans == theirs.spans


def test_without_template_the_frame_is_raw(tmp_path: Path) -> None:
    assert tiny_loaded(tmp_path, chat_template=None).frame.render("x") == f"{BOS}x"
    folder = tiny_folder(tmp_path, seed=3, chat_template=None, adds_bos=False)
    assert load_model(_spec(folder)).frame.render("x") == "x"


# --- pieces


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 351), max_size=40))
def test_pieces_join_to_the_decoded_text(loaded: LoadedModel, ids: list[int]) -> None:
    found = pieces(loaded, tuple(ids))
    assert len(found) == len(ids)
    assert "".join(found) == loaded.tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)


def test_unfinished_character_counts_to_its_last_token(loaded: LoadedModel) -> None:
    ids = encode_text(loaded, QUESTION, "🎉").token_ids[-4:]
    assert pieces(loaded, ids) == ("", "", "", "🎉")
    assert pieces(loaded, ids[:3])[-1].startswith("\ufffd")
    assert pieces(loaded, (*ids[:2], *_ids(loaded, EOS)))[-1].endswith(EOS)


def _sentencepiece_like() -> Tokenizer:
    """As Llama 2 and Mistral have it: a space mark before the first word, unknown characters as bytes."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)]
    specials = ["<unk>", "<s>", "</s>", *byte_tokens]
    trained.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=345, special_tokens=specials))
    state = json.loads(trained.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


@pytest.mark.parametrize("trims", [False, True])
@pytest.mark.parametrize("kind", ["spaces marked", "byte level"])
def test_other_tokenizers_cover_a_text_too(tmp_path: Path, kind: str, trims: bool) -> None:
    folder = tiny_folder(tmp_path, chat_template=None, adds_bos=False)
    if kind == "spaces marked":
        tokenizer = _sentencepiece_like()
    else:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=trims)
    tokenizer.save(str(folder / "tokenizer.json"))
    loaded = load_model(_spec(folder))
    text = " Wait,  let   me é 🎉 check\n\n  this. "
    reading = encode_text(loaded, QUESTION, text)
    assert {k for a, b in reading.spans for k in range(a, b)} == set(range(len(text)))
    assert "".join(pieces(loaded, reading.token_ids)) == loaded.frame.render(QUESTION) + text


def test_any_folder_can_be_allowed(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "a")
    copy = folder.rename(tmp_path / "moved")
    with pytest.raises(ModelUnavailable, match="RETRACE_MODEL_ROOTS"):
        load_model(_spec(copy))
    allow_root(tmp_path)
    assert load_model(_spec(copy)).name == "moved"


# --- what a model can read


def test_token_ids_that_do_not_fit_are_named_with_what_and_where_and_what_to_do(loaded: LoadedModel) -> None:
    most = loaded.context_length
    loaded.check_fits((5,) * most)
    loaded.check_fits((5,) * (most - 1), room=1)
    cases: list[tuple[tuple[int, ...], int, str, str]] = [
        ((), 0, "take 0 tokens", "Write some text"),
        ((5,) * (most + 1), 0, f"take {most + 1} tokens; .* reads at most {most}", "Shorten"),
        ((5,) * most, 1, f"reads at most {most - 1}", "Shorten"),
        ((5, 6, loaded.d_vocab), 0, f"Position 2 holds a token id .*: {loaded.d_vocab}", "tokenizer"),
        ((5, -1), 0, "Position 1 holds a token id", "tokenizer"),
    ]
    for token_ids, room, problem, remedy in cases:
        with pytest.raises(BadInput, match=problem) as caught:
            loaded.check_fits(token_ids, room=room)
        assert remedy in caught.value.remedy


def test_a_text_ends_where_positions_would_be_turned_otherwise(tmp_path, monkeypatch):
    """Across the original length of a longrope, cached keys are wrong: runs stop before it, and equal transformers."""
    rope = {"rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    rope |= {"original_max_position_embeddings": 24, "factor": 16.0}
    monkeypatch.setitem(zoo.OWN, "phi3", {"original_max_position_embeddings": 24, "rope_parameters": rope})
    loaded = load_model(_spec(zoo.build(tmp_path, "phi3")))
    prompt = encode_prompt(loaded, "What is 3 plus 4?")
    n_room = 24 - len(prompt.token_ids)
    assert (loaded.context_length, 0 < n_room < 12) == (24, True)
    spec = spec_of(loaded, max_new_tokens=12)
    ids = torch.tensor([prompt.token_ids])
    theirs = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n_room, do_sample=False)
    assert complete(loaded, [spec])[0] == complete(loaded, [spec], use_cache=False)[0] == theirs[0, -n_room:].tolist()


@pytest.mark.parametrize(("named", "threads"), [("1", 1), ("2", 2), ("2,1", 2), ("", 3), ("0", 3), ("many", 3)])
def test_a_model_that_gains_from_several_threads_takes_no_more_than_the_environment_allows(named, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", named)
    monkeypatch.setattr("core.models.loading.psutil.cpu_count", lambda logical: 3)
    before = torch.get_num_threads()
    try:
        assert use_threads(None) == threads
        assert use_threads(1) == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_keys_and_values_take_what_is_said_of_a_token(tmp_path, family):
    loaded = load_model(_spec(zoo.build(tmp_path, family)))
    out = loaded.model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=True).past_key_values
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in out.layers)
    assert loaded.kv_bytes == kept // 3
