"""Sweeps: config fields and the number of trained blocks, chosen on validation."""
