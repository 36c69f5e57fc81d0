"""vft new: a look at a data set, then a config for it, every choice with its reason."""
