"""Ways in which people write models, data, optimisers, losses and spaces.

A row holds one way of writing, as a person would write it, and the same configuration
by hand: plain Python, without jaxtune's tasks, spaces or programs.
"""
