"""The training of one round: its blocks, ledger, scheduler and waiting states."""
