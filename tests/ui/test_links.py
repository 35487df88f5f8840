"""What a link may carry: numbers in plain digits within the widget's bounds, text without control characters."""

import random

import pytest

from ui.playground.form import FIELDS as PLAYGROUND
from ui.playground.form import TEMPERATURE, TOKENS, TOP_P
from ui.playground.program import Extra, read_extras, show_extras
from ui.shell.bounds import Number, OneOf, Text
from ui.traces.reader import FIELDS as TRACES

ODD = [
    "",
    " ",
    "1e3",
    "１２",
    "1_000",
    "nan",
    "inf",
    "-inf",
    " 5",
    "5 ",
    "0x10",
    "1,000",
    "9" * 30,
    "--1",
    "1.0.0",
    "٣",
]
FIELDS = [*PLAYGROUND.values(), *TRACES.values()]


@pytest.mark.parametrize("raw", ODD)
def test_a_whole_number_is_written_in_plain_digits(raw):
    with pytest.raises(ValueError, match="allowed: 0 to 2,000"):
        Number(0, 2000, 1).parse(raw)


@pytest.mark.parametrize("raw", [raw for raw in ODD if raw != "1e3"] + ["1e999", ".", "1.", "0x1p3"])
def test_a_number_is_written_in_plain_digits(raw):
    with pytest.raises(ValueError, match="allowed"):
        Number(-1e6, 1e6).parse(raw)


def test_numbers_within_bounds_and_on_the_step_are_taken():
    assert [TOKENS.parse(raw) for raw in ("16", "+33", "32768", "0016")] == [16, 33, 32768, 16]
    assert [str(Number(-5, 5, 1).parse(raw)) for raw in ("-0", "-5")] == ["0", "-5"]
    assert str(Number(-1e6, 1e6).parse("-0.0")) == "0.0"
    assert Number(-1e6, 1e6).parse("1e3") == 1000
    assert [TEMPERATURE.parse(raw) for raw in ("0", "0.7", "0.30000000000000004", "2.0")] == [0, 0.7, 0.1 + 0.2, 2]
    assert TOP_P.parse("0.95") == 0.95
    outside = [(TOKENS, "15"), (TOKENS, "32769"), (TOKENS, "16.5"), (TEMPERATURE, "0.75"), (TOP_P, "0.52")]
    for number, raw in outside:
        with pytest.raises(ValueError, match="allowed"):
            number.parse(raw)


def test_text_and_choices_have_their_bounds():
    assert Text(5, lines=True).parse("a\n\tb") == "a\n\tb"
    for raw in ("a\x00", "a\x1b[", "a\ud800", "a\nb", "abcdef"):
        with pytest.raises(ValueError, match=r"control|allowed"):
            Text(5).parse(raw)
    assert OneOf(("a", "b")).parse("b") == "b"
    with pytest.raises(ValueError, match="allowed: a, b"):
        OneOf(("a", "b")).parse("A")


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_what_a_field_writes_it_reads_and_nothing_else_than_a_value_error_comes_of_anything(field):
    if field.default is not None and field.default != "" and field.default is not False and field.default != []:
        assert field.parse(field.show(field.default)) == field.default
    draw = random.Random(field.name)
    letters = "0123456789-+.e,:;_ abnorfilstkz\x00\n१😀"
    for raw in [*ODD, *("".join(draw.choices(letters, k=draw.randint(0, 40))) for _ in range(300))]:
        try:
            value = field.parse(raw)
        except (ValueError, OverflowError):
            continue
        assert field.parse(field.show(value)) == value


def test_a_further_direction_keeps_its_coefficient_to_the_last_digit():
    extras = [Extra(direction_id="ab", operator="add", coefficient=12.3456789, layer=1)]
    assert read_extras(show_extras(extras)) == extras
    assert show_extras([Extra(direction_id="ab", operator="clamp", coefficient=2.0, layer=0)]) == "ab:clamp:2:0"
