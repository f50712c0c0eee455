"""Whatever imports Locust is tested in a process of its own: it replaces the standard library's blocking calls."""

import os

collect_ignore = [] if os.environ.get("SQUALL_TEST_INSIDE") else ["inside"]
