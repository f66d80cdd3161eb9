"""A card processor of this machine: the part of Stripe's API that billing and a payment page use, with test cards only.

No money moves, no card number is kept, and it does not run in production mode.
"""
