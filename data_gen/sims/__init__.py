"""Simulators, one world per file; a file whose name begins with an underscore holds what worlds share."""
