"""Array fields are stored as the project itself states them, whatever numpy's annotations look like inside."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from core.disk import codec
from core.values import Numbers

OTHER_NUMPY = """
import sys, typing
import numpy as np, numpy.typing
from typing_extensions import TypeAliasType

Number = typing.TypeVar("Number", bound=np.generic)
alias = TypeAliasType("NDArray", np.ndarray[typing.Any, np.dtype[Number]], type_params=(Number,))
numpy.typing.NDArray = np.typing.NDArray = alias

from core.disk.codec import dump, load
from tests import every_kind, stored_values as sv

values = [sv.direction(), sv.direction_set(), sv.attribution(), sv.generation(), every_kind.moments()]
values += [every_kind.mean_vectors(), *(value for _, value in every_kind.values_by_kind().values())]
for value in values:
    sv.assert_same(load(type(value), dump(value)), value)
print(len(values))
"""


@dataclass(frozen=True)
class Reading:
    """A value whose array says nothing through its annotation but what the project states."""

    single: Annotated[object, Numbers("float32")]
    whole: Annotated[object, Numbers("int64")]


@dataclass(frozen=True)
class Unstated:
    """An array that nothing is stated of."""

    values: np.ndarray


def test_an_array_is_what_the_project_states():
    value = Reading(np.array([0.5, 2.0]), np.array([1, 2], np.int32))
    back = codec.load(Reading, codec.dump(value))
    assert (back.single.dtype, back.single.tolist()) == (np.float32, [0.5, 2.0])
    assert (back.whole.dtype, back.whole.tolist()) == (np.int64, [1, 2])


def test_an_array_that_nothing_is_stated_of_is_a_bug_of_ours():
    with pytest.raises(TypeError, match="values"):
        codec.dump(Unstated(np.ones(2)))


def test_every_stored_value_survives_where_numpys_alias_is_another():
    ran = subprocess.run([sys.executable, "-c", OTHER_NUMPY], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert int(ran.stdout) > 6
