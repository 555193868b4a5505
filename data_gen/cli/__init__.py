"""The command line of both packages: words, flags, configs, single runs and sweeps, on Hydra."""
