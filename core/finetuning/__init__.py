"""A base model and traces become a reasoning model: a LoRA adapter trained on the reasoning, in PEFT's format.

Knows no page and no experiment. `factors`, `rows`, `samples`, `template` and `training` are its own.

Face: adopted, values, costs, files, folder, jobs, recipes, work
"""
