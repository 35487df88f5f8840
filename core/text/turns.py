"""Placeholder."""

from dataclasses import dataclass


@dataclass
class Turns:
    back: int
    remarks: int
    other: int


def turns_of(text, question, keywords):
    return Turns(0, 0, 0)
