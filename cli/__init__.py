"""The `atoll` command: run the local stack, look at it, import, play the demo."""
