"""Reward models, p(r_t, end_t | z_t-1, a_t-1, z_t): the optional fourth part of a model."""
