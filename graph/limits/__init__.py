"""What keeps one client from taking all of the server: size, cost, rate and time of operations."""
