"""What billing can do: a command and a function for each change. Each runs in one transaction its caller opened."""
