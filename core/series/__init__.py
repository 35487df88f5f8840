"""One experiment on several pairs: on the checkpoints of a finetune, or on pairs side by side.

Every pair is measured by a plan of its own (`core.experiments`); here is what joins them. Knows no page and no command.
`agreement` and `work` are its own.

Face: values, checkpoints, folder, jobs, numbers, words
"""
