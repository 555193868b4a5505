"""Simulators, one world a file; a file that begins with an underscore holds what worlds share."""
