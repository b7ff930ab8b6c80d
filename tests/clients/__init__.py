"""Trainings as their users wrote them, before they had heard of jaxtune.

Each file follows a public example in its structure: Flax's MNIST in Linen and in NNX,
Equinox's way of training, a reinforcement learning library whose agents are pytrees.
None imports jaxtune. `brought` has the lines that bring each of them into a search.
"""
