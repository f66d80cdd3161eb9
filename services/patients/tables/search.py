"""What a search finds misspelt names by."""

from sqlalchemy import Column, Text

from chassis.tables import chain_table
from services.patients.tables.base import metadata

# Every word that some patient of the chain is or was called, of four letters and more, and each spelling that it has
# without one of its letters. Compared by equality, which row-level security lets reach the index.
name_spelling = chain_table(
    "name_spelling",
    metadata,
    Column("spelling", Text(collation="C"), primary_key=True),
    Column("word", Text(collation="C"), primary_key=True),
)
