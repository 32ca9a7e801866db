"""Networks that fuse words into a Swin after each stage: LAVT, RMSIN and FIANet."""
