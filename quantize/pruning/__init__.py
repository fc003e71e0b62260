"""Structured pruning: what may go, how much each matters, a smaller model without it, and its recovery."""
