"""What a LoRA adapter's config and header say of a model's weights. Knows no folder, no hub and no torch.

Face: changes, refusals
"""
