"""Proofs that can be run: what the client does under every fault of the simulator."""
