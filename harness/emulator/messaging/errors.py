"""What can go wrong between two services, with the names oslo.messaging gives it."""

from __future__ import annotations


class MessagingError(Exception):
    """Base of all messaging errors."""


class MessagingTimeout(MessagingError):
    """No reply within rpc_response_timeout. The request may still be waiting, running or done: effect unknown."""


class MessageDeliveryFailure(MessagingError):
    """The broker refused the message (permissions, limits). It was not routed."""


class MessageUndeliverable(MessagingError):
    """A mandatory message came back: no queue is bound for its routing key (312 NO_ROUTE)."""


class RemoteError(MessagingError):
    """The called method raised.

    Args:  exc_type: class name of the remote exception. message: its text. module: where the class lives.
           args: the exception's arguments, as far as JSON carried them. traceback: the remote lines.
    """

    def __init__(
        self,
        exc_type: str,
        message: str,
        *,
        module: str = "",
        arguments: tuple[object, ...] = (),
        traceback: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"Remote error: {exc_type} {message}")
        self.exc_type = exc_type
        self.message = message
        self.module = module
        self.arguments = arguments
        self.traceback = traceback


class NoSuchMethod(MessagingError):
    """The endpoint has no such RPC method."""

    def __init__(self, method: str) -> None:
        super().__init__(f"Endpoint does not support RPC method {method}")
        self.method = method


class UnsupportedVersion(MessagingError):
    """The endpoint does not offer the requested version."""

    def __init__(self, version: str, method: str) -> None:
        super().__init__(f"Endpoint does not support RPC version {version}. Attempted method: {method}")
        self.version = version
        self.method = method


class ConnectionLost(MessagingError):
    """The AMQP connection ended. Unconfirmed publishes may or may not have been routed."""


class ChannelClosed(MessagingError):
    """The broker closed the channel. Args: code: reply code. text: reply text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
