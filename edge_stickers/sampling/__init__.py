"""Noise, the schedule and the sampling loop."""
