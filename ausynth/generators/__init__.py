"""What turns label vectors into pictures: each generator behind one protocol."""
