"""Which labels, and which people, a generator is asked for."""
