"""Contract tests: what every part, model and world must do, whoever wrote it.

    python -m seqvae.contracts plugins=[./my_model.py]
    python -m seqvae.contracts plugins=[my_lab.models] model=vae model.dynamics._target_=my_lab.models.Mine -x

Each part that the plugins register is put into the shipped models, in the place of the part of its kind.
Words of `python -m seqvae train` describe one model that is tested instead, and flags are those of pytest. It
is needed (`pip install "seqvae[test]"`), and nothing else in the package imports it. The checks are functions
in models.py, objectives.py and data_gen/contracts.py, and the tests of this project call the same.
"""
