"""The training of one round: blocks in order, states that wait, who trains next."""
