"""Dynamics p(z_t | z_<t, a_<t): one idea a file."""
