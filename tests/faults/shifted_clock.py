"""Let the clock of one process be wrong: what Python's `time` and `datetime` say of the hour, not what they measure."""

from __future__ import annotations

import datetime
import time

_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime
_gmtime, _localtime = time.gmtime, time.localtime


def shift(seconds: float) -> None:
    """Move this process's idea of the time, for everything imported from now on."""

    class Shifted(_datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> _datetime:
            return _datetime.now(tz) + datetime.timedelta(seconds=seconds)

        @classmethod
        def utcnow(cls) -> _datetime:
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: _time() + seconds
    time.time_ns = lambda: _time_ns() + int(seconds * 1e9)
    time.gmtime = lambda secs=None: _gmtime(time.time() if secs is None else secs)
    time.localtime = lambda secs=None: _localtime(time.time() if secs is None else secs)
    datetime.datetime = Shifted
