"""Counting what calls cost: requests, tokens, errors, time."""
