"""What kills a training where it says that it is, and what compares what is left."""
