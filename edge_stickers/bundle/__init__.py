"""The bundle: the folder that goes into an app, written whole, read with suspicion."""
