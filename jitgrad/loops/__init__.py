"""Loops as loops of machine code: loop programs, how they are lowered, reversed and written."""
