"""Frame models p(x_t | z_t): one paper a file."""
