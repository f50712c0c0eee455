"""bcrypt, off the event loop: at keystone's cost of 12 one check takes a quarter of a second of CPU."""

import asyncio

import bcrypt

MAX_BYTES = 72  # bcrypt reads no more; keystone truncates likewise


def hash_now(secret: str, rounds: int) -> str:
    """The salted hash of a secret. Args: rounds: log2 of the work, 4 to 16."""
    return bcrypt.hashpw(secret.encode()[:MAX_BYTES], bcrypt.gensalt(rounds)).decode()


async def hash_secret(secret: str, rounds: int) -> str:
    """`hash_now` in a thread; bcrypt lets go of the interpreter while it works."""
    return await asyncio.to_thread(hash_now, secret, rounds)


async def matches(secret: str, hashed: str) -> bool:
    """Whether a secret is the one that was hashed; in a thread."""
    return await asyncio.to_thread(bcrypt.checkpw, secret.encode()[:MAX_BYTES], hashed.encode())
