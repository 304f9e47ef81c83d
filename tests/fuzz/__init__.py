"""Fuzzing of the Modbus driver: mutated frames in, and an oracle that says what may come of them."""
