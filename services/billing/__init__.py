"""Owns money: what sites ask for, what patients were told, owe and paid, and the books that it is all posted to."""
