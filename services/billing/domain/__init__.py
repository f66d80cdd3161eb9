"""Rules of billing, by noun. Pure: no I/O, no clock; ids and instants come in as arguments."""
