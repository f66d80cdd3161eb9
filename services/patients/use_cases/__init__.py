"""What patients can do, by noun: a command and a function for each change. Each runs in one transaction that its caller
opened."""
