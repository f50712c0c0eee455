"""Private servers from Debian for the tests marked `servers`, and the tests that are about them alone.

`pytest.mark.servers("MariaDB", "RabbitMQ", "Chromium")` names what a test needs; `tests/conftest.py` starts it, once.
"""
