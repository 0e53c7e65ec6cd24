"""Sample data: real King County house sales, and simulated investors who look at them."""
