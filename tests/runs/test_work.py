"""Cells of long completions: fewer at a time, and the same completions."""

import pytest

from core.jobs import finish
from core.models.loaded import encode_prompt
from core.runs import lanes
from core.runs.cells import DoseCellSpec
from core.runs.journal import RunJournal
from core.runs.work import _Logs, rows_at_once, run_cell
from core.values import SamplingSpec
from tests import stored_values
from tests.tiny_models import tiny_loaded


@pytest.mark.parametrize(
    ("batch", "length", "expected"),
    [(32, 1, 32), (32, 2048, 32), (32, 4096, 16), (104, 4096, 52), (32, 32_768, 2), (3, 32_768, 1), (1, 1, 1)],
)
def test_long_completions_take_no_more_room_together(batch, length, expected):
    assert rows_at_once(batch, length) == expected
    assert expected == 1 or expected * length <= batch * max(length, 2048)


def test_a_cell_is_the_same_however_many_run_together(tmp_path, monkeypatch, make_direction):
    loaded, sizes, generate = tiny_loaded(tmp_path), [], lanes.generate_lanes
    spec = DoseCellSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        direction=make_direction(loaded.d_model, layer=1),
        layer=1,
        coefficient=2.0,
        prompts=tuple(encode_prompt(loaded, f"What is {i}?") for i in range(5)),
        sampling=SamplingSpec(max_new_tokens=12, temperature=0.7),
        keywords=("wait",),
    )

    def noting(models, specs, *, at_once):
        sizes.append(at_once)
        return generate(models, specs, at_once=at_once)

    monkeypatch.setattr(lanes, "generate_lanes", noting)
    whole = finish(run_cell(loaded, spec, batch=4))
    monkeypatch.setattr("core.runs.work.FULL_BATCH_TOKENS", 6)
    halves = finish(run_cell(loaded, spec, batch=4))
    assert sizes == [4, 2]
    assert halves.texts == whole.texts
    assert halves.hits == whole.hits
    assert halves.nll == pytest.approx(whole.nll, rel=1e-5)


def test_a_killed_set_leaves_the_parts_that_were_begun_and_not_kept(tmp_path):
    journal, specs = RunJournal(tmp_path), [stored_values.generation_spec(i % 2) for i in range(7)]
    logs = _Logs(journal, specs, 2)
    for lane in (0, 1, 2, 0, 4):
        logs.note(lane, 10 + lane, f" t{lane}")
    logs.finish_first()
    logs.note(2, 12, " again")
    journal.leave()
    runs = RunJournal(tmp_path).interrupted()
    assert sorted([g.text for g in run.generations] for run in runs) == [[" t2 again", ""], [" t4", ""]]
