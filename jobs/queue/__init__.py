"""What all jobs share: the queues, runs, retries, leases, child processes."""
