"""Each guard, and the test that must notice when it is gone. `make mutants` runs them: see `__main__.py`."""
