"""The command line: it wires, the rest of the package does the work."""
