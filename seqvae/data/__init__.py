"""Readers: frames on disk to tensors, clips for training, whole sequences for scoring."""
