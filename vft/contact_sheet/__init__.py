"""vft inspect: clips as the model sees them, before and after augmentation, as a page and a picture."""
