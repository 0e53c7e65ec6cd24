"""What runs outside of requests: training and indexing, on two queues in Redis.

Only this package knows the queue's library. Other code hands over jobs by name.
"""
