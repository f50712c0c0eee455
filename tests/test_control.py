"""The control link: token-guarded JSON lines."""

import queue

import pytest

from harness.control import ControlServer, Link, Message, connect


def test_messages_pass_both_ways_and_the_end_is_noticed() -> None:
    seen: queue.Queue[tuple[Link, Message]] = queue.Queue()
    closed: queue.Queue[Link] = queue.Queue()
    server = ControlServer(lambda link, message: seen.put((link, message)), closed.put)
    link = connect(server.address, server.token)
    link.send({"type": "hello"})
    far, message = seen.get(timeout=5)
    assert message == {"type": "hello"}
    far.send({"type": "go", "epoch_ns": 1})
    assert link.receive() == {"type": "go", "epoch_ns": 1}
    link.close()
    assert closed.get(timeout=5) is far
    server.close()


def test_a_wrong_token_is_shown_the_door() -> None:
    seen: queue.Queue[Message] = queue.Queue()
    server = ControlServer(lambda link, message: seen.put(message), lambda link: None)
    link = connect(server.address, "wrong")
    assert link.receive() is None
    with pytest.raises(queue.Empty):
        seen.get_nowait()
    server.close()
