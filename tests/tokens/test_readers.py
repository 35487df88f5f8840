"""The base model reads the reasoning model's text without its special tokens, and both begin alike."""

import json

import pytest

from core.models.loaded import encode_prompt, load_model
from core.models.pair import DEMO_PAIR
from core.tokens.frames import ChatFrame, plain_frame
from core.tokens.readers import readers_of
from core.values import ModelSpec
from tests.tiny_models import ASSISTANT, BOS, END_THINK, EOS, THINK, USER, tiny_folder, tiny_loaded

QUESTION, TEXT = "What is 3 + 4?", "Wait, let me check this. The sum is 7."


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    reasoner = tiny_loaded(tmp_path_factory.mktemp("reasoner"))
    base = tiny_loaded(tmp_path_factory.mktemp("base"), seed=1, chat_template=None, frame_from=reasoner)
    return readers_of(base, reasoner)


def test_special_tokens_of_the_frame_are_listed_with_what_the_base_model_reads(readers):
    assert readers.mapped == ((BOS, BOS), (USER, "\n"), (ASSISTANT, "\n"), (THINK, ""))


def test_the_default_mapping_is_the_frame_that_the_base_model_has(readers):
    assert readers.frame_read_as(dict(readers.mapped)) == readers.base_frame
    assert readers.frame_read_as({}) == readers.base_frame


def test_an_edited_mapping_changes_the_frame_and_nothing_else(readers):
    frame = readers.frame_read_as({USER: "Question: ", ASSISTANT: "\nAnswer: ", THINK: "[", BOS: ""})
    assert frame == ChatFrame("Question: ", "\nAnswer: [\n", "plain")
    assert readers.same_text_tokens(frame, QUESTION, TEXT)


def test_thought_markers_vanish_with_their_white_space_unless_they_are_given_a_text():
    frame = ChatFrame(f"{BOS}{USER}", f"{ASSISTANT}{THINK}\n", "template")
    assert plain_frame(frame, (USER, ASSISTANT), BOS).suffix == "\n"
    kept = plain_frame(frame, (USER, ASSISTANT), BOS, read_as={THINK: "Thoughts:", END_THINK: ""})
    assert kept.suffix == "\nThoughts:\n"


def test_both_models_begin_with_their_start_token_and_read_the_same_text(readers):
    firsts = [
        readers.first_tokens(base=base, frame=frame, question=QUESTION, text=TEXT)
        for base, frame in ((True, readers.base_frame), (False, readers.reasoner_frame))
    ]
    for first in firsts:
        assert first.pieces[0] == BOS
        assert "".join(first.pieces[first.text_start :]) == TEXT[: len("".join(first.pieces[first.text_start :]))]
    assert USER not in "".join(firsts[0].pieces)
    assert USER in firsts[1].pieces
    assert readers.same_text_tokens(readers.base_frame, QUESTION, TEXT)


def test_vocabularies_are_compared(readers, tmp_path):
    assert readers.vocabularies[0] == readers.vocabularies[1]
    assert readers.n_differences == 0
    reasoner = tiny_loaded(tmp_path / "a")
    base = tiny_loaded(tmp_path / "b", seed=1, frame_from=reasoner)
    base.tokenizer.add_tokens(["one more"])
    other = readers_of(base, reasoner)
    assert other.vocabularies[0] != other.vocabularies[1]
    assert other.n_differences == 1
    assert other.differences[0][1:] == ("one more", "")


CHATML = (
    f"{{% for m in messages %}}{USER}user\n{{{{ m['content'] }}}}{EOS}\n{{% endfor %}}"
    f"{{% if add_generation_prompt %}}{USER}assistant\n{{% endif %}}"
)


def with_config(folder, **changes):
    """The folder with these entries in its tokenizer_config.json, as a spec."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return ModelSpec(repo_id=str(folder))


@pytest.mark.parametrize(
    ("adds_bos", "config", "start"),
    [
        (True, {}, BOS),
        (False, {"add_bos_token": True}, BOS),
        (False, {}, ""),
        (False, {"add_bos_token": False}, ""),
        (False, {"add_bos_token": True, "bos_token": None}, ""),
        (False, {"bos_token": EOS}, ""),
    ],
)
def test_the_base_begins_with_a_start_token_only_where_its_own_tokenizer_adds_one(tmp_path, adds_bos, config, start):
    reasoner = tiny_loaded(tmp_path)
    spec = with_config(tiny_folder(tmp_path, seed=1, adds_bos=adds_bos, chat_template=None, name="base"), **config)
    base = load_model(spec, frame_from=reasoner)
    assert reasoner.frame.prefix.startswith(BOS)
    assert base.frame == ChatFrame(start, "\n", "plain")
    ids = encode_prompt(base, QUESTION).token_ids
    assert (ids[0] == base.tokenizer.bos_token_id) is bool(start)
    found = readers_of(base, reasoner)
    assert (found.base_start, found.reasoner_start) == (start, BOS)
    assert dict(found.mapped)[BOS] == start
    assert found.frame_read_as({}) == base.frame


def test_a_mark_of_roles_that_is_called_bos_is_no_start_token(tmp_path):
    """As in ChatML: the first token is the tokenizer's BOS, comes again before the answer, and is never added."""
    chat = {"adds_bos": False, "chat_template": CHATML}
    reasoner = load_model(with_config(tiny_folder(tmp_path, name="reasoner", **chat), bos_token=USER))
    spec = with_config(tiny_folder(tmp_path, seed=1, name="base", **chat), bos_token=USER)
    base = load_model(spec, frame_from=reasoner)
    assert reasoner.frame.prefix == f"{USER}user\n"
    assert base.frame.render(QUESTION) == f"user\n{QUESTION}\n\n\nassistant\n"
    found = readers_of(base, reasoner)
    assert (found.base_start, found.reasoner_start) == ("", "")
    assert found.mapped == ((USER, "\n"), (EOS, "\n"), (THINK, ""))
    assert found.template_words == ("user", "assistant")
    assert found.frame_read_as({USER: "#"}).render("Q") == "#user\nQ\n\n#assistant\n"


def test_the_embedded_base_keeps_the_start_token_that_its_corpus_has_written_in_front():
    reasoner = load_model(DEMO_PAIR.reasoner)
    base = load_model(DEMO_PAIR.base, frame_from=reasoner)
    assert base.frame == ChatFrame("<|bos|>Problem: ", "\nSolution:\n", "plain")
    assert readers_of(base, reasoner).template_words == ("Problem:", "Solution:")
