"""Exported lanes: nothing in them is markup, nothing is lost, nothing is loaded."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from core.forward.edits import SteeringSpec
from core.runs.export import NamedLane, describe_edit, describe_positions, to_html, to_json, to_markdown
from core.values import Positions
from core.weights import hub_fingerprint
from tests import stored_values as sv

HOSTILE = "<script>pwned=1</script><img src=x onerror=alert(1)> ![b](http://beacon.invalid/p) ```\n# Wait\u202e & `"


def hostile_lane():
    generation = sv.generation()
    prompt = replace(generation.spec.prompt, question=HOSTILE)
    edit = replace(generation.spec.steering[0], direction=replace(sv.direction(), name=HOSTILE))
    spec = replace(generation.spec, prompt=prompt, steering=(edit,))
    return NamedLane(
        title=HOSTILE, generation=replace(generation, spec=spec, token_ids=(1, 2), pieces=(HOSTILE, " Wait"), nll=1.5)
    )


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.metas = [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.metas += [dict(attrs)] if tag == "meta" else []
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone_and_shows_hostile_text_literally():
    reader = Reader()
    reader.feed(to_html([hostile_lane(), hostile_lane()]))
    assert set(reader.tags) <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "section", "mark", "dl", "dt", "dd"
    }  # fmt: skip
    policies = [meta["content"] for meta in reader.metas if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert HOSTILE.replace("\u202e", "\ufffd") in reader.text
    assert reader.tags.count("mark") == 4


def test_markdown_keeps_texts_in_fences_that_they_cannot_leave():
    text = to_markdown([hostile_lane()])
    outside, fence = [], None
    for line in text.splitlines():
        if fence is None and re.match(r"`{3,}text$", line):
            fence = line[: -len("text")]
        elif line == fence:
            fence = None
        elif fence is None:
            outside.append(line)
    assert fence is None
    assert "# Wait" not in outside
    (heading,) = [line for line in outside if line.startswith("## ")]
    assert heading.startswith("## \\<script\\>")
    assert [line[:13] for line in outside if "<script>" in line] == ["- steering: `"]


def test_json_holds_text_tokens_spec_and_vectors():
    lane = hostile_lane()
    (got,) = json.loads(to_json([lane]))["lanes"]
    assert (got["text"], got["token_ids"], got["nll"]) == (lane.generation.text, [1, 2], 1.5)
    assert got["spec"]["prompt"]["token_ids"] == list(lane.generation.spec.prompt.token_ids)
    assert got["directions"][0]["vector"] == pytest.approx(lane.generation.spec.steering[0].direction.vector.tolist())


def test_edits_and_positions_in_words():
    edit = SteeringSpec(direction=sv.direction(), layer=2, operator="clamp", coefficient=3.0, ramp=5)
    assert describe_edit(edit) == (
        "set the projection on 'number 0' to 3 after layer 2, at every position, rising over 5 tokens"
    )
    where = Positions(region="thinking", start=2, stop=8, every=3, until=("wait", "hmm"))
    assert describe_positions(where) == "in the thinking from its token 2 to 7, every 3-th, until “wait”, “hmm”"


def test_the_files_name_the_commit_of_a_hub_model():
    lane = sv.generation()
    model = replace(lane.spec.model, repo_id="maker/model")
    spec = replace(lane.spec, model=model, fingerprint=hub_fingerprint(model, "c0ffee"))
    lanes = [NamedLane(title="a", generation=replace(lane, spec=spec))]
    for made in (to_markdown(lanes), to_html(lanes)):
        assert "commit c0ffee" in made


def test_the_files_name_the_adapter_and_its_commit():
    lane = sv.generation()
    model = replace(lane.spec.model, repo_id="maker/model", adapter="maker/mine")
    spec = replace(lane.spec, model=model, fingerprint="maker/model@c0ffee+maker/mine@5eed")
    made = to_html([NamedLane(title="a", generation=replace(lane, spec=spec))])
    assert f"model + mine, {model.precision}, commit c0ffee, adapter at commit 5eed" in made
