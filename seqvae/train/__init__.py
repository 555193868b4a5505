"""Training: one loop, and the small things it is made of."""
