"""The flag for a card with room for one model: which commands take it, and that loading and other processes see it."""

import argparse
import logging
import os

import pytest

from core import settings
from retrace.commands import LOG_FILE, _log_to, main
from retrace.parser import make_parser


def options_of(name):
    parser = make_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {option for action in commands.choices[name]._actions for option in action.option_strings}


@pytest.mark.parametrize("name", ["paper", "plan", "run", "work", "extract", "steer"])
def test_commands_that_load_a_pair_take_it(name):
    assert "--one-at-a-time" in options_of(name)


def test_what_a_device_is_named_for_takes_it_but_a_finetune_of_one_model():
    parser = make_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    with_device = {name for name in commands.choices if "--device" in options_of(name)}
    assert {name for name in with_device if "--one-at-a-time" not in options_of(name)} == {"finetune"}


@pytest.mark.parametrize("is_asked", [True, False])
def test_it_is_said_by_the_environment_which_helping_processes_have_too(monkeypatch, tmp_path, is_asked):
    monkeypatch.setenv(settings.ONE_AT_A_TIME, "")
    flags = ["--one-at-a-time"] if is_asked else []
    assert main(["run", str(tmp_path / "no.json"), "--out", str(tmp_path), "--cache", str(tmp_path), *flags]) == 2
    assert settings.one_at_a_time() == is_asked
    assert os.environ[settings.ONE_AT_A_TIME] == ("1" if is_asked else "")


def test_how_long_a_move_took_is_in_the_log_of_commands(monkeypatch, tmp_path):
    monkeypatch.setenv(settings.ONE_AT_A_TIME, "")
    root, level = logging.getLogger(), logging.getLogger("core.memory").level
    kept = list(root.handlers)
    try:
        _log_to(tmp_path, verbose=False)
        logging.getLogger("core.memory.resident").info("the base model came to the card")
        logging.getLogger("core.runs").info("nothing that anybody needs")
        assert [line.split(": ")[-1] for line in (tmp_path / LOG_FILE).read_text().splitlines()] == [
            "the base model came to the card"
        ]
    finally:
        root.handlers[:] = kept
        logging.getLogger("core.memory").setLevel(level)
        logging.captureWarnings(False)
