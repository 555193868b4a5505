"""Posteriors q(z_t | x_<=t, z_<t): one idea a file."""
