"""A real server that loads a pair while a text is written on another: the text goes on until the swap."""

from __future__ import annotations

import itertools
import json
import os

from core.settings import MODEL_ROOTS
from tests.browser.conftest import running
from tests.browser.test_ending import visited, wait_for
from tests.browser.tiny_server import prepare
from tests.tiny_models import tiny_folder


def test_a_text_goes_on_while_another_pair_is_loaded(tmp_path):
    env = prepare(tmp_path)
    larger = tmp_path / "larger"
    base = tiny_folder(larger, n_layers=24, d_model=512, name="base", chat_template=None)
    reasoner = tiny_folder(larger, n_layers=24, d_model=512, seed=3, name="reasoner")
    env |= {"RETRACE_TEST_OTHER": f"{base},{reasoner}", MODEL_ROOTS: os.pathsep.join((str(tmp_path), str(larger)))}
    with running("tests/browser/load_app.py", tmp_path / "cache", env) as server, visited(server):
        wait_for(server.cache / "seen", server)
        seen = json.loads((server.cache / "seen").read_text())
    assert seen["state"] == "done"
    assert "reasoner is not loaded any more" in seen["said"]
    came: dict[float, float] = {}
    for seconds, n_tokens in seen["tokens"]:
        came.setdefault(n_tokens, seconds)
    during = [seconds for seconds in came.values() if seconds >= 0]
    assert len(during) > 10, seen
    assert max(b - a for a, b in itertools.pairwise(during)) < 2, seen
