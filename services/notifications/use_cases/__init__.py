"""What notifications does about what happens elsewhere, and each step of sending. Each function runs in one transaction
that its caller opened."""
