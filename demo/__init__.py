"""The embedded pair: a tiny base model, a reasoning model finetuned from it, and the recipe that makes both."""
