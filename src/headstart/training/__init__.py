"""Training of any model: loaders, optimizers, schedules, the training loop and the learner."""
