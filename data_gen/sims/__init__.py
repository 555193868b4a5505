"""Simulators, one world a file."""
