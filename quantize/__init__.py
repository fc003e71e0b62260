"""Structured pruning and quantisation recipes: none in this version, which converts in fp32 and fp16."""
