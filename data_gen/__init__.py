"""Simulators of multi-object video, and the dataset files made from them."""
