"""Everything Retrace computes: values, models, hooks, extraction, generation, attribution, store, jobs."""
