"""One card for two models: whose weights have its memory, and whose work is at them now.

Knows no model, no trace and no page: of a model its weights, its lock and its title. `exchange` alone imports torch.

Face: cards, lock, resident, exchange
"""
