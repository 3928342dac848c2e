"""What trainings read: crop records, picture records, and the batches that are made of them."""
