"""What trainings read: crop records, image records, and the batches that are made of them."""
