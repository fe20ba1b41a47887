"""Files of weights and networks: whose they are, what they may hold, and how they are read."""
