"""What carries messages: one adapter per channel, each knowing nothing of who is a patient."""
