"""A few families of the zoo, each for something that others do not have; `make models` visits them all."""

import pytest

from tests.zoo import visit

FAMILIES = {
    "gpt2": "learned positions, transposed weights, other names in its config",
    "opt": "blocks in a part of the decoder",
    "granite": "scaled embedding, blocks and logits",
    "cohere2": "parallel blocks, scaled logits, sliding windows",
    "gemma2": "squeezed logits, norms after the parts of a block",
    "glm4": "norms after the parts of a block, under other names",
    "falcon_h1": "attention beside a recurrent part",
    "qwen3_next": "recurrent and attention layers in turn",
    "granitemoehybrid": "recurrent layers, experts, scaled logits",
    "mixtral": "experts",
    "deepseek_v3": "compressed keys and values, experts that are shared",
    "llama4_text": "experts, chunked attention, a decoder under another name",
}
REFUSED = {
    "minimax": "ends in an error of its own",
    "recurrent_gemma": "a text in a batch is read otherwise than alone",
    "mamba": "states no usable num_attention_heads",
}
DIRECT = {
    "gpt2": "",
    "glm4": "",
    "cohere2": "",
    "mixtral": "",
    "granite": "add something else to the residual stream",
    "falcon_h1": "add something else to the residual stream",
    "gemma2": "squeezes its logits",
}
"""What direct attribution says of some of them; nothing where it is right."""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_read_and_steered_rightly(family, tmp_path):
    found = visit(tmp_path, family)
    assert (found.skipped, found.refused, found.wrong) == ("", "", ()), FAMILIES[family]
    if family in DIRECT:
        assert DIRECT[family] in found.direct
        assert bool(DIRECT[family]) == bool(found.direct)


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_cannot_be_read_rightly_is_refused_with_the_reason(family, tmp_path):
    assert REFUSED[family] in visit(tmp_path, family).refused
