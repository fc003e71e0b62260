"""Smaller and faster students: recipes of precision, calibration, sensitivity, training in int8, pruning."""
