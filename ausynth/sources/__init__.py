"""Where real pictures and their labels come from: each file one source behind one protocol."""
