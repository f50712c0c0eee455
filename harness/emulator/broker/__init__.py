"""The embedded AMQP 0-9-1 broker: a stand-in for RabbitMQ on laptops and in CI, always a process of its own.

It speaks the same protocol, so the same clients, faults and gauges work on both; it keeps nothing on disk, as the
classic non-durable queues of the real services would not survive either. No claim about broker capacity is made on it.
"""
