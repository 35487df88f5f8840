"""Plans and outcomes as files: readable JSON with a schema, strict in both directions. No torch, no disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TypeVar

from core.disk.codec import canonical_json
from core.disk.fields import decode, encode
from core.errors import BadInput, UserFacingError
from core.experiments.values import Outcome, Plan, TraceSource
from core.traces.records import RECORD_FAULTS, reason_of

PLAN_SCHEMA, OUTCOME_SCHEMA = "retrace-plan/1", "retrace-outcome/1"
MAX_PLAN_BYTES, MAX_OUTCOME_BYTES = 40 << 20, 200 << 20
_AGAIN = "Write it with `retrace plan`, or download it from the Experiments page."

T = TypeVar("T")


def plan_json(plan: Plan) -> str:
    """The plan as indented JSON; `read_plan` reads it back."""
    return _text({"schema": PLAN_SCHEMA, "plan": encode(Plan, plan, "", {})}, indent=1)


def outcome_json(outcome: Outcome) -> str:
    """The outcome as JSON, one line a point; `read_outcome` reads it back."""
    return fields_json(Outcome, outcome, OUTCOME_SCHEMA)


def fields_json(cls: type[T], value: T, schema: str) -> str:
    """A value as JSON, its schema before its fields; `read_fields` reads it back."""
    fields = encode(cls, value, "", {})
    assert isinstance(fields, dict)
    lines = [f"{json.dumps(name)}: {_lines(item)}" for name, item in fields.items()]
    head = f'"schema": {json.dumps(schema)}'
    return "{\n" + ",\n".join([head, *lines]) + "\n}\n"


def read_plan(data: bytes, *, source: str = "The plan") -> Plan:
    """The plan in a file. Raises BadInput for what is none, for an unknown schema and for fields that do not fit."""
    found = _object(data, source, MAX_PLAN_BYTES)
    _check_schema(found, PLAN_SCHEMA, source)
    unknown = sorted(found.keys() - {"schema", "plan"})
    if unknown:
        raise BadInput(f"{source} holds {unknown[0][:60]!r}, which no plan has.", _AGAIN)
    return _made(Plan, found.get("plan"), source)


def read_outcome(data: bytes, *, source: str = "The results") -> Outcome:
    """The outcome in a file. Raises BadInput as `read_plan`."""
    return read_fields(Outcome, data, schema=OUTCOME_SCHEMA, limit=MAX_OUTCOME_BYTES, source=source)


def read_fields(cls: type[T], data: bytes, *, schema: str, limit: int, source: str) -> T:
    """The value in a file that `fields_json` wrote. Raises BadInput as `read_plan`."""
    found = _object(data, source, limit)
    _check_schema(found, schema, source)
    return _made(cls, {name: value for name, value in found.items() if name != "schema"}, source)


def plan_of_outcome(data: bytes, *, source: str = "The results") -> Plan:
    """The plan in a file of results, whose points are not looked at. Raises BadInput as `read_plan`."""
    found = _object(data, source, MAX_OUTCOME_BYTES)
    _check_schema(found, OUTCOME_SCHEMA, source)
    return _made(Plan, found.get("plan"), source)


def plan_id(plan: Plan) -> str:
    """(20,) hex that names the plan by all that its results depend on: not by its title, nor where its traces lie."""
    traces = TraceSource(kind="set", digest=plan.traces.digest) if plan.traces.digest else plan.traces
    return hashlib.sha256(canonical_json(replace(plan, title="", traces=traces))).hexdigest()[:20]


def _made(cls: type[T], fields: object, source: str) -> T:
    try:
        made: T = decode(cls, fields, "", {})
        return made
    except UserFacingError as error:
        raise BadInput(f"{source}: {error.problem}", error.remedy) from error
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(f"{source} does not fit its schema: {error}.", _AGAIN) from error


def _object(data: bytes, source: str, limit: int) -> dict[str, object]:
    if len(data) > limit:
        raise BadInput(f"{source} is larger than {limit >> 20} MB.", _AGAIN)
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except RECORD_FAULTS as error:
        raise BadInput(f"{source} is not JSON: {reason_of(error)}", _AGAIN) from error
    if not isinstance(found, dict):
        raise BadInput(f"{source} holds no JSON object.", _AGAIN)
    return found


def _check_schema(found: dict[str, object], schema: str, source: str) -> None:
    if found.get("schema") != schema:
        raise BadInput(
            f"{source} has the schema {str(found.get('schema'))[:60]!r}; this version reads {schema!r}.", _AGAIN
        )


def _lines(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(_text(item) for item in value) + "\n]"
    return _text(value)


def _text(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
