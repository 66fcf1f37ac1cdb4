"""Checkpoints, read without trusting them: ganinv's own, NVIDIA's, rosinality's and the pSp family's."""
