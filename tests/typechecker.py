"""What checks annotations in tests: beartype, for which an int is a float as well, as PEP 484 has it."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
