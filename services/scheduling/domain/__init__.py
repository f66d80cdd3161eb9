"""Rules of scheduling. Pure: no I/O, no clock; ids and instants come in as arguments."""
