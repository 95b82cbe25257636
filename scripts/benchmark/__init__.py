"""How regfs compares: timed side by side with the programs that people use for the same work.

``python -m scripts.benchmark``, by way of ``scripts/bench``. Nothing here asserts a time.
"""
