"""The portrait look by whole batches of torch tensors: the same pictures as the compiled path's, within rounding."""
