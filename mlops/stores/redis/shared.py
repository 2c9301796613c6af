"""One connection that everybody's reads share: what is asked together goes out together.

Reads that begin in the same turn of the event loop are one write to Redis, which goes out before
the answers of that turn are handed out, in the order of the reads. A read that is alone goes out at
the end of its turn: nobody waits for others to come. redis-py connects (passwords, TLS, IAM); from
then on its streams, which cost more than Redis does, are out of the way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import hiredis
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

from mlops.stores.online import Tell
from mlops.stores.redis.connecting import read_error

_INCOMPLETE = object()
_GRACE_SECONDS = 0.001

Recognize = Callable[[bytes | memoryview, int], tuple[int, Any] | None]
"""Is shown bytes, and where in them the answers to a read begin. Where it knows all of those at a
glance, it tells where they end, and what they say in whatever form its caller wants; else None."""


@dataclass(slots=True)
class _Waiting:
    """A read that is under way."""

    count: int
    until: float
    """When it is given up, by the loop's clock."""
    tell: Tell
    recognize: Recognize | None
    answers: list[Any] | None = None
    """Those that were parsed."""


class _Exchange(asyncio.Protocol):
    """An open connection: writes what was gathered, hands out what is answered."""

    def __init__(self, connection: Any, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self.loop = loop
        self.is_open = True
        self.writes = 0
        self._connection = connection
        self._timeout = timeout
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=read_error(connection),
            notEnoughData=_INCOMPLETE,
        )
        self._is_parsing = False
        """Whether an answer began of which the rest is to come."""
        self._came: list[bytes] = []
        """What Redis said and nobody has looked at."""
        self._gathered: list[bytes] = []
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._late: _Waiting | None = None
        self._transport: Any = connection._writer.transport
        self._transport.set_protocol(self)

    def ask(
        self, packed: bytes, count: int, tell: Tell, recognize: Recognize | None = None
    ) -> None:
        """Tells the answers when they come, or what redis-py raises for a lost connection."""
        until = self.loop.time() + self._timeout
        self._waiting.append(_Waiting(count, until, tell, recognize))
        if not self._gathered:
            self.loop.call_soon(self._write)
        self._gathered.append(packed)
        if self._timer is None:
            self._timer = self.loop.call_at(until, self._check)

    def _write(self) -> None:
        if self.is_open and self._gathered:
            self._transport.write(b"".join(self._gathered))
            self._gathered.clear()
            self.writes += 1

    def data_received(self, data: bytes) -> None:
        self._came.append(data)
        if len(self._came) == 1:
            self.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Ask before answering: Redis works on the next reads while these are handed out."""
        if self._gathered:
            self._write()
            self.loop.call_soon(self._take)
        else:
            self._take()

    def _take(self) -> None:
        came, self._came = self._came, []
        for data in came:
            if self.is_open:
                self._read(data)

    def _read(self, data: bytes) -> None:
        start = 0 if self._is_parsing else self._recognize(data)
        if start == len(data):
            return
        try:
            self._reader.feed(data[start:])
            self._hand_out()
        except InvalidResponse as exc:
            self._end(RedisConnectionError(f"Redis' answer cannot be read: {exc}"))

    def _recognize(self, data: bytes) -> int:
        """Hand out the answers that need not be parsed; where in the bytes they end."""
        start, waiting = 0, self._waiting
        while waiting and start < len(data):
            first = waiting[0]
            found = None
            if first.recognize is not None and not first.answers:
                found = first.recognize(data, start)
            if found is None:
                break
            start, answers = found
            self._tell(waiting.popleft(), answers, None)
        return start

    def _hand_out(self) -> None:
        reader = self._reader
        while reader.has_data():
            answer = reader.gets()
            self._is_parsing = answer is _INCOMPLETE
            if self._is_parsing:
                return
            if type(answer) is not list and isinstance(answer, RedisConnectionError):
                self._end(answer)  # it is loading, has lost its primary, or lets nobody in
                return
            if not self._waiting:
                raise InvalidResponse("nobody asked for this")
            first = self._waiting[0]
            if first.answers is None:
                first.answers = []
            first.answers.append(answer)
            if len(first.answers) == first.count:
                self._tell(self._waiting.popleft(), first.answers, None)

    def _tell(self, one: _Waiting, answers: Any, error: Exception | None) -> None:
        """Whatever one does with its answer, the others get theirs."""
        try:
            one.tell(answers, error)
        except Exception as exc:  # noqa: BLE001 — as of any callback of the loop
            context = {"message": "an answer of Redis was not taken", "exception": exc}
            self.loop.call_exception_handler(context)

    def _check(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        first = self._waiting[0]
        if first.until > self.loop.time():
            self._timer = self.loop.call_at(first.until, self._check)
        elif first is not self._late:
            # Where this process was busy, the answer lies there and was not looked at yet.
            self._late = first
            self._timer = self.loop.call_later(_GRACE_SECONDS, self._check)
        else:
            self._end(RedisTimeoutError(f"no answer in {self._timeout:g} s"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._take()
        self._end(RedisConnectionError(str(exc) if exc else "the connection was closed"))

    def close(self) -> None:
        self._take()
        self._end(RedisConnectionError("the connection was closed"))

    def _end(self, cause: Exception) -> None:
        """Fail what waits. What is answered from now on has no place to go."""
        if not self.is_open:
            return
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        waiting = list(self._waiting)
        self._waiting.clear()
        for one in waiting:
            self._tell(one, None, cause)
        if not self.loop.is_closed():
            self._connection._close()


def _settle(done: asyncio.Future[Any], answers: Any, error: Exception | None) -> None:
    """Unless its caller has left."""
    if done.done():
        return
    if error is None:
        done.set_result(answers)
    else:
        done.set_exception(error)


class SharedConnection:
    """The connection to one server, opened when it is needed and again when it was lost."""

    def __init__(self, client: redis.asyncio.Redis, *, timeout: float) -> None:
        """timeout: seconds that an answer may take."""
        self._pool: Any = client.connection_pool
        self._timeout = timeout
        self._exchange: _Exchange | None = None
        self._opening: asyncio.Future[_Exchange] | None = None

    @property
    def writes(self) -> int:
        """How often the open connection wrote; joined reads count as one."""
        return self._exchange.writes if self._exchange else 0

    async def fetch(self, packed: bytes, count: int, recognize: Recognize | None = None) -> Any:
        """The answers to `count` commands, or what was recognized of them.

        Raises what redis-py raises.
        """
        exchange = self._current() or await self._open()
        done: asyncio.Future[Any] = exchange.loop.create_future()
        exchange.ask(packed, count, partial(_settle, done), recognize)
        return await done

    def start(
        self, packed: bytes, count: int, tell: Tell, recognize: Recognize | None = None
    ) -> bool:
        """Tell the same when it comes; False where no connection is open."""
        exchange = self._exchange
        if exchange is None or not exchange.is_open or not exchange.loop.is_running():
            return False
        exchange.ask(packed, count, tell, recognize)
        return True

    def close(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    def _current(self) -> _Exchange | None:
        exchange = self._exchange
        if exchange is None or not exchange.is_open:
            return None
        return exchange if exchange.loop is asyncio.get_running_loop() else None

    async def _open(self) -> _Exchange:
        """Those who come while it is being opened wait for the same one."""
        loop = asyncio.get_running_loop()
        opening = self._opening
        if opening is None or opening.get_loop() is not loop:
            opening = self._opening = loop.create_task(self._connect(loop))
            opening.add_done_callback(self._opened)
        return await asyncio.shield(opening)

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> _Exchange:
        connection = self._pool.make_connection()
        await connection.connect()
        self.close()
        self._exchange = _Exchange(connection, loop, self._timeout)
        return self._exchange

    def _opened(self, opening: asyncio.Future[_Exchange]) -> None:
        if self._opening is opening:
            self._opening = None
        if not opening.cancelled():
            opening.exception()  # whoever waited has it
