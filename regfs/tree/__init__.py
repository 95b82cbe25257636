"""What a path stands for, and what stat says of it. Reads no blob and writes nothing."""
