"""Flags of workers: what they come to, and what is refused before anything starts."""

import argparse

import pytest

from core.errors import BadInput
from core.fleet import on_ray
from core.fleet.values import FleetSpec
from retrace.worker_flags import add_worker_flags, fleet_of


def flags(*words):
    parser = argparse.ArgumentParser()
    add_worker_flags(parser)
    return parser.parse_args(words)


@pytest.fixture
def ray_is_there(monkeypatch):
    monkeypatch.setattr(on_ray, "is_installed", lambda: True)


def test_without_ray_no_cluster_is_named():
    assert fleet_of(flags("--workers", "3")) is None


def test_a_cluster_has_its_workers_and_their_cards(ray_is_there):
    words = ["--ray", "10.0.0.1:6379", "--workers", "8", "--gpus-per-worker", "1"]
    assert fleet_of(flags(*words)) == FleetSpec(address="10.0.0.1:6379", workers=8, gpus=1.0)
    assert fleet_of(flags("--ray", "auto")) == FleetSpec(address="auto", workers=1, gpus=0.0)


def test_what_cannot_be_is_a_sentence(ray_is_there, monkeypatch):
    with pytest.raises(BadInput, match="no address of a Ray cluster"):
        fleet_of(flags("--ray", "somewhere"))
    with pytest.raises(BadInput, match="-2 workers"):
        fleet_of(flags("--ray", "auto", "--workers", "-2"))
    monkeypatch.setattr(on_ray, "is_installed", lambda: False)
    with pytest.raises(BadInput, match="Ray is not installed"):
        fleet_of(flags("--ray", "auto"))
