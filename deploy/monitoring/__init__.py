"""What watches a running server: a dashboard, alert rules, and the check of both."""
