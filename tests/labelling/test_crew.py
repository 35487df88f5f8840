"""When the crew gives up: failures in a row count, failures alone do not."""

import time

import pytest

from core.errors import JudgeUnavailable
from core.labelling.crew import Crew, Pace
from core.labelling.endpoint import Unanswered


def asked(outcomes):
    """The crew after one question for each letter, in order: y is answered, n is not."""

    def ask(question, _before):
        if outcomes[question] == "n":
            raise Unanswered("no answer", "batch")
        return "answer"

    pace = Pace(at_once=1, per_minute=10_000, attempts=1)
    crew = Crew(range(len(outcomes)), ask, keep=lambda *_: None, pace=pace)
    crew.start()
    deadline = time.monotonic() + 10
    try:
        while len(crew.answers) + len(crew.failed) < len(outcomes) and time.monotonic() < deadline:
            crew.look()
            time.sleep(0.001)
    finally:
        crew.stop()
    return crew


@pytest.mark.parametrize("outcomes", ["nnnn", "nnnnynnnn", "nynynynynyn", "ynnnnynnnny"])
def test_fewer_than_five_failures_in_a_row_end_nothing(outcomes):
    crew = asked(outcomes)
    assert set(crew.answers) == {i for i, letter in enumerate(outcomes) if letter == "y"}
    assert set(crew.failed) == {i for i, letter in enumerate(outcomes) if letter == "n"}


@pytest.mark.parametrize("outcomes", ["nnnnn", "ynnnnn", "nnnnynnnnn"])
def test_the_fifth_failure_in_a_row_ends_the_run(outcomes):
    with pytest.raises(JudgeUnavailable, match=r"^5 questions in a row .* no answer"):
        asked(outcomes)
