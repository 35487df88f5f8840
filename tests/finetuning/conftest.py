"""Short sample texts: most of a tiny finetune would be spent on them."""

from __future__ import annotations

import pytest

from core.finetuning import samples


@pytest.fixture(autouse=True, scope="package")
def short_samples() -> None:
    samples.NEW_TOKENS = 3
