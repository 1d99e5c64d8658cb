"""What a trained run is worth: an independent judge, the recipe's metrics on all test pictures, and a report."""
