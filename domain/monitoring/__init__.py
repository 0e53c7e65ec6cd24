"""Monitoring: what Prometheus scrapes of the database and the job queues."""
