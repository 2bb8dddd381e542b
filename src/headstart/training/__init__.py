"""From batches to a trained model: loaders, optimizers, schedules, the loop, the learner."""
