"""Stickers, the motion library that animates them, their captions, and the clips made of all three."""
