"""Lanes as they are shown while they run, and as they end."""

from core.models.loaded import encode_prompt
from core.runs import lanes
from core.runs.lanes import generate_lanes
from core.runs.values import Generation, GenerationSpec
from core.values import SamplingSpec
from tests.tiny_models import tiny_loaded


def run(loaded, n=30):
    """(what each progress showed, the result)."""
    spec = GenerationSpec(
        model=loaded.spec,
        fingerprint=loaded.fingerprint,
        prompt=encode_prompt(loaded, "Why?"),
        sampling=SamplingSpec(max_new_tokens=n, banned=tuple(loaded.eos_ids)),
    )
    work, shown = generate_lanes([loaded] * 3, [spec] * 3), []
    while True:
        try:
            shown.append(next(work).partial)
        except StopIteration as stop:
            return shown, stop.value


def test_what_is_shown_is_not_copied_at_every_token_and_ends_whole(tmp_path, monkeypatch):
    loaded, copies = tiny_loaded(tmp_path), []
    made = Generation.__post_init__
    monkeypatch.setattr(Generation, "__post_init__", lambda self: copies.append(1) or made(self))
    monkeypatch.setattr(lanes, "SHOWN_SECONDS", 1e6)
    shown, result = run(loaded)
    assert len(shown[0][0].token_ids) == 1
    assert all(partial is shown[0] for partial in shown[:30])
    assert [len(lane.token_ids) for lane in result] == [30] * 3
    assert len(copies) < 30
    assert shown[-1] == result


def test_what_is_shown_is_as_new_as_the_eye_can_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(lanes, "SHOWN_SECONDS", 0.0)
    shown, _ = run(tiny_loaded(tmp_path))
    assert [len(partial[0].token_ids) for partial in shown[:30]] == list(range(1, 31))
