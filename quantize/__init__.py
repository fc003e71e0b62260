"""Smaller and faster students: recipes that say each layer's precision, calibration, the form that targets take."""
