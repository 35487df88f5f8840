"""Values survive storage bit for bit, damage is noticed, and keys change with everything that results depend on."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from core.attribution.values import Attribution
from core.directions.direction import Direction
from core.disk import codec
from core.disk.codec import CorruptValue, canonical_json, dump, key_of, load, load_stamped
from core.extraction.values import DirectionSet
from core.forward.edits import SteeringSpec
from core.runs.values import Generation, GenerationSpec
from core.values import ModelSpec, Positions, Prompt, SamplingSpec
from tests import stored_values as sv

VALUES = [sv.generation(), sv.attribution(), sv.direction_set(), sv.direction(), sv.generation_spec()]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_a_round_trip_is_exact(value):
    sv.assert_same(load(type(value), dump(value)), value)


def test_unfinished_and_scored_generations_survive():
    bare = Generation(spec=sv.generation_spec(steering=()), token_ids=(), pieces=(), stop_reason="cancelled", nll=1.25)
    sv.assert_same(load(Generation, dump(bare)), bare)


def test_odd_numbers_and_texts_survive():
    value = dataclasses.replace(
        sv.generation(tokens=3), pieces=("\udc80", "\x00</script>", "𝔘‮"), nll=float("inf"), seconds=1e-300
    )
    sv.assert_same(load(Generation, dump(value)), value)
    vectors = sv.direction_set().vectors.copy()
    vectors[0, 0, :3] = np.nan, np.inf, -0.0
    odd = dataclasses.replace(sv.direction_set(), vectors=vectors)
    sv.assert_same(load(DirectionSet, dump(odd)), odd)


def test_numpy_scalars_and_strided_arrays_are_stored_as_the_declared_types():
    value = dataclasses.replace(sv.generation(), token_ids=tuple(np.arange(5)), seconds=np.float32(0.5))
    assert load(Generation, dump(value)).token_ids == (0, 1, 2, 3, 4)
    strided = dataclasses.replace(sv.direction_set(), vectors=np.zeros((3, 2, 32), np.float64)[:, :, ::2])
    assert load(DirectionSet, dump(strided)).vectors.dtype == np.float32


def test_loaded_arrays_are_writable():
    load(Direction, dump(sv.direction())).vector[0] = 1


def test_the_time_of_writing_is_kept():
    assert load_stamped(Direction, dump(sv.direction(), saved_at=12.5)).saved_at == 12.5


def test_the_container_is_a_plain_safetensors_file():
    arrays = safetensors.numpy.load(dump(sv.generation()))
    assert list(arrays) == ["spec.steering.0.direction.vector"]
    assert np.array_equal(arrays["spec.steering.0.direction.vector"], sv.direction().vector)


def test_the_same_value_gives_the_same_bytes():
    assert dump(sv.attribution(), key="k") == dump(sv.attribution(), key="k")


def test_every_flipped_byte_is_noticed():
    data = dump(sv.direction(d_model=4), key="k")
    for position in range(len(data)):
        for mask in (0x01, 0x20, 0x80):
            damaged = bytearray(data)
            damaged[position] ^= mask
            with pytest.raises(CorruptValue):
                load(Direction, bytes(damaged), key="k")


def test_every_cut_is_noticed():
    data = dump(sv.direction(d_model=4))
    for length in range(len(data)):
        with pytest.raises(CorruptValue):
            load(Direction, data[:length])
    with pytest.raises(CorruptValue):
        load(Direction, data + b"\0")


def test_a_value_belongs_to_one_key_and_one_type():
    data = dump(sv.direction(), key="here")
    with pytest.raises(CorruptValue):
        load(Direction, data, key="there")
    with pytest.raises(CorruptValue):
        load(Generation, data, key="here")


def forged(text: str, arrays: dict[str, np.ndarray] | None = None) -> bytes:
    """A container with a right digest and whatever fields."""
    body = json.dumps({"digest": "0" * 64}, separators=(",", ":"))[:-1] + "," + text + "}"
    data = bytearray(safetensors.numpy.save(arrays or {}, metadata={"retrace": body}))
    data[codec._DIGEST] = codec._digest(data, "")
    return bytes(data)


@pytest.mark.parametrize(
    "text",
    [
        '"format":1,"type":"Generation","saved_at":0',
        '"format":1,"type":"Generation","saved_at":0,"value":[]',
        '"format":1,"type":"Generation","saved_at":0,"value":{"spec":null}',
        '"format":1,"type":"Generation","saved_at":0,"value":{"__class__":"os.system"}',
        '"format":2,"type":"Generation","saved_at":0,"value":{}',
        '"format":1,"type":"Generation","saved_at":0,"value":' + "[" * 100_000 + "]" * 100_000,
        "not json",
    ],
)
def test_foreign_fields_are_corrupt(text):
    with pytest.raises(CorruptValue):
        load(Generation, forged(text))


def test_fields_that_the_value_itself_refuses_are_corrupt():
    fields = '"name":"n","layer":0,"norm":1.0,"resid_norm":0.0,"provenance":[]'
    good = '"format":1,"type":"Direction","saved_at":0,"value":{"vector":null,' + fields + "}"
    unit = np.array([1, 0], np.float32)
    assert load(Direction, forged(good, {"vector": unit})).name == "n"
    for arrays in ({"vector": unit * np.float32("nan")}, {"vector": unit * 2}, {}, {"vector": unit, "more": unit}):
        with pytest.raises(CorruptValue):
            load(Direction, forged(good, arrays))
    with pytest.raises(CorruptValue):
        load(Direction, forged(good, {"vector": unit.astype(np.float64)}))


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\xff" * 64, b"PK\x03\x04" * 20, b"\x02" + b"\0" * 7 + b"{}"])
def test_foreign_bytes_are_corrupt(data):
    with pytest.raises(CorruptValue):
        load(Generation, data)


def test_a_value_of_the_wrong_type_is_a_bug_of_ours():
    for change in ({"stop_reason": "tired"}, {"seconds": "1"}, {"pieces": (1,) * 5}, {"token_ids": (True,) * 5}):
        with pytest.raises(TypeError):
            dump(dataclasses.replace(sv.generation(), **change))


def changed_specs() -> dict[str, GenerationSpec]:
    spec = sv.generation_spec()
    (steer,) = spec.steering
    flipped = steer.direction.vector.copy()
    flipped[0] = np.nextafter(flipped[0], np.float32(9))

    def steered(**changes: object) -> GenerationSpec:
        return dataclasses.replace(spec, steering=(dataclasses.replace(steer, **changes),))

    def sampled(**changes: object) -> GenerationSpec:
        return dataclasses.replace(spec, sampling=dataclasses.replace(spec.sampling, **changes))

    def model(**changes: object) -> GenerationSpec:
        return dataclasses.replace(spec, model=dataclasses.replace(spec.model, **changes))

    return {
        "dtype": model(precision="bf16"),
        "quantisation": model(precision="nf4"),
        "model": model(repo_id="tiny/other"),
        "revision": model(revision="abd"),
        "device": model(device="cuda"),
        "model bytes, tokenizer or template": dataclasses.replace(spec, fingerprint="e" * 16),
        "seed": sampled(seed=2),
        "temperature": sampled(temperature=0.1),
        "top_p": sampled(top_p=0.9),
        "length": sampled(max_new_tokens=255),
        "coefficient": steered(coefficient=np.nextafter(8.0, 9)),
        "layer": steered(layer=3),
        "operator": steered(operator="clamp"),
        "positions": steered(positions=Positions(every=2, region="completion")),
        "every": steered(positions=Positions(every=3)),
        "direction bytes": steered(direction=dataclasses.replace(steer.direction, vector=flipped)),
        "no steering": dataclasses.replace(spec, steering=()),
        "steered twice": dataclasses.replace(spec, steering=(steer, steer)),
        "token ids": dataclasses.replace(spec, prompt=dataclasses.replace(spec.prompt, token_ids=(5, 6, 1))),
        "token ids split": dataclasses.replace(spec, prompt=dataclasses.replace(spec.prompt, token_ids=(56, 0))),
    }


@pytest.mark.parametrize("name", changed_specs())
def test_a11_every_change_gives_another_key(name):
    assert key_of("generation", changed_specs()[name]) != key_of("generation", sv.generation_spec())


def test_a11_all_changed_keys_differ_from_each_other():
    keys = {key_of("generation", spec) for spec in changed_specs().values()}
    assert len(keys) == len(changed_specs())


def test_a11_code_version_and_kind_are_part_of_the_key(monkeypatch):
    key = key_of("generation", sv.generation_spec())
    assert key_of("attribution", sv.generation_spec()).split("-")[1] != key.split("-")[1]
    monkeypatch.setattr(codec, "SCHEMA_VERSION", codec.SCHEMA_VERSION + 1)
    assert key_of("generation", sv.generation_spec()) != key


def test_a11_an_equal_spec_gives_the_same_key_in_another_process():
    code = "from tests import stored_values as sv; from core.disk.codec import key_of; "
    code += "print(key_of('generation', sv.generation_spec()))"
    env = {"PYTHONPATH": ".", "PYTHONHASHSEED": "7"}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == key_of("generation", sv.generation_spec())


def test_equal_numbers_give_equal_keys():
    spec = sv.generation_spec()
    for coefficient in (8, 8.0, np.float32(8), np.int64(8)):
        steering = (dataclasses.replace(spec.steering[0], coefficient=coefficient),)
        assert key_of("g", dataclasses.replace(spec, steering=steering)) == key_of("g", spec)
    zero = [SteeringSpec(direction=sv.direction(), layer=0, coefficient=c) for c in (0.0, -0.0)]
    assert canonical_json(zero[0]) == canonical_json(zero[1])


def test_a_value_read_back_has_the_key_it_was_stored_under():
    spec = sv.generation_spec()
    assert key_of("g", load(GenerationSpec, dump(spec))) == key_of("g", spec)
    assert key_of("a", load(Attribution, dump(sv.attribution())).spec) == key_of("a", sv.attribution().spec)


def test_lone_surrogates_make_a_key():
    prompt = Prompt(question="\ud800", text="\ud800", token_ids=(1,))
    spec = GenerationSpec(model=ModelSpec(repo_id="r"), fingerprint="", prompt=prompt, sampling=SamplingSpec())
    assert key_of("generation", spec) == key_of("generation", load(GenerationSpec, dump(spec)))


@pytest.mark.parametrize("kind", ["", "../x", "A", "a b", "a/b", "a" * 33])
def test_a_kind_that_is_no_plain_word_is_refused(kind):
    with pytest.raises(ValueError, match="kind"):
        key_of(kind, 1)
