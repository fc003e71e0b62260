"""What a clip is worth: registration to its still, reading its motion, metrics, and evaluation of a whole model."""
