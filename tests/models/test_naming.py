"""A model as one line of text: read as people type it, shown as it is read."""

from __future__ import annotations

import pytest

from core.models.naming import read_merged, read_model, read_name, show_merged
from core.values import ModelSpec

NAMED = {"repo_id": "maker/base", "adapter": "maker/mine", "precision": "bf16"}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("maker/base", ("maker/base", None)),
        (" maker/base@v1 ", ("maker/base", "v1")),
        ("/models/a@b", ("/models/a@b", None)),
        ("~/a@b", ("~/a@b", None)),
        ("", ("", None)),
    ],
)
def test_a_name_has_a_revision_where_it_may_be_of_the_hub(text, read):
    assert read_name(text) == read


def test_an_adapter_is_named_in_its_own_field_or_after_a_plus():
    right = ModelSpec(**NAMED, adapter_revision="v2")
    assert read_model("maker/base", " maker/mine@v2 ", precision="bf16", device="cpu") == right
    assert read_merged("maker/base + maker/mine@v2", precision="bf16", device="cpu") == right
    assert read_model("maker/base", " ", precision="bf16", device="cpu").adapter is None
    assert show_merged(right) == "maker/base + maker/mine@v2"
