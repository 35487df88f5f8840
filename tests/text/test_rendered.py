"""Questions out of rendered prompts: the last user's text alone, whatever the template."""

import pytest

from core.text.rendered import MAX_PROMPT, unframed


@pytest.mark.parametrize(
    "text",
    [
        "<｜begin▁of▁sentence｜><｜User｜>Why <b>3</b>?<｜Assistant｜><think>\n",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy <b>3</b>?<|im_end|>\n<|im_start|>assistant\n",
        "<|start_header_id|>user<|end_header_id|>\n\nWhy <b>3</b>?<|eot_id|><|start_header_id|>assistant",
        "<bos><start_of_turn>user\nWhy <b>3</b>?<end_of_turn>\n<start_of_turn>model\n",
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhy <b>3</b>? [/INST]",
        "<|user|>\nWhy <b>3</b>?<|end|>\n<|assistant|>\n",
        "<|start|>system<|message|>You.<|end|><|start|>user<|message|>Why <b>3</b>?<|end|><|start|>assistant",
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Why <b>3</b>?<|END_OF_TURN_TOKEN|>",
        "<|start_of_role|>user<|end_of_role|>Why <b>3</b>?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
        "[|user|]Why <b>3</b>?\n[|assistant|]",
        "<|User|>One?<|Assistant|>Two.<|User|>Why <b>3</b>?<|Assistant|>",
        "A conversation.\nUser: Why <b>3</b>?\nAssistant: <think>",
        "### Instruction:\nWhy <b>3</b>?\n\n### Response:\n",
        "Why <b>3</b>?\n<think>\n",
        "<|endoftext|>Why <b>3</b>?",
    ],
)
def test_a_rendered_prompt_gives_its_question_and_says_so(text):
    found = unframed(text)
    assert found.text == "Why <b>3</b>?"
    assert [kind for kind, _ in found.notes] == ["question"]


@pytest.mark.parametrize(
    "text", ["Why?", "", "|x| < 3 > y", "User question: why?\nIs [a] < b?", "f: A -> B\n\nQuestion"]
)
def test_any_other_text_stays_as_it_is(text):
    assert (unframed(text).text, unframed(text).notes) == (text, ())


def test_marks_of_an_unknown_template_are_kept_and_told():
    found = unframed("<|a|>Why?<|b|>")
    assert found.text == "<|a|>Why?<|b|>"
    assert "unknown" in found.notes[0][1]
    assert unframed("x" * (MAX_PROMPT + 1)).text == ""
