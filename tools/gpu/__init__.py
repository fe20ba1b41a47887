"""What is run on a card that is to hand for a quarter of an hour: our rows on JAX, the reference's, and step times."""
