"""Values, rules and refusals of notifications, by noun. Pure: no I/O, no clock."""
