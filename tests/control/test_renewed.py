"""A state of which nothing has changed stays the object that it is."""

from control.renewed import renewed
from control.valve import Position, ValveState


def test_equal_fields_give_the_very_same_state() -> None:
    state = ValveState(position=Position.OPEN, unknown_since=1.5)
    assert renewed(state, position=Position.OPEN, unknown_since=float("1.5")) is state


def test_one_other_field_gives_another_state_with_all_the_rest() -> None:
    state = ValveState(commanded_open=True, position=Position.OPEN, unknown_since=1.5)
    new = renewed(state, position=Position.OPEN, unknown_since=None)
    assert (new.commanded_open, new.position, new.unknown_since) == (True, Position.OPEN, None)
    assert state.unknown_since == 1.5
