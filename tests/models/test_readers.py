"""The base model reads the reasoning model's text without its special tokens, and both begin alike."""

import pytest

from core.models.frames import ChatFrame, plain_frame
from core.models.readers import readers_of
from tests.tiny_models import ASSISTANT, BOS, END_THINK, THINK, USER, tiny_loaded

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
