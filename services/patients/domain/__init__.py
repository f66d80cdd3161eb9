"""Rules of patients, screenings and clearances. Pure: no I/O, no clock; ids, days and instants come in as arguments."""
