"""What the clients' programs in Python share: the list of cells, their time
limit and how outcomes are printed (CONTRACT.md).

    cells = Cells(error_name=lambda e: type(e).__name__)

    @cells.cell("produce/plain")
    def produce_plain():
        ...
        return records_outcome(got, expected)

    cells.not_offered("group/reset")
    cells.run()
"""

import asyncio
import inspect
import json
import logging
import os
import threading

CODECS = ["gzip", "snappy", "lz4", "zstd"]
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

NAMES = [
    "topic/create",
    "produce/plain",
    *(f"produce/{codec}" for codec in CODECS),
    "produce/idempotent",
    "produce/transactional",
    "produce/aborted",
    "group/two members",
    "group/rebalance",
    "group/commit",
    "group/resume",
    "consume/seek",
    "group/describe",
    "group/reset",
    "group/delete",
    "tls/produce and consume",
    *(f"sasl/{mechanism}" for mechanism in MECHANISMS),
    "sasl/wrong password",
    "errors/unknown topic",
    "errors/bad topic name",
]

TIME_LIMIT = 15  # seconds a cell may take

BOOTSTRAP = os.environ["BOOTSTRAP"]
SASL_BOOTSTRAP = os.environ.get("SASL_BOOTSTRAP", "")
SASL_USER = os.environ.get("SASL_USER", "")
SASL_PASSWORD = os.environ.get("SASL_PASSWORD", "")
TLS_BOOTSTRAP = os.environ.get("TLS_BOOTSTRAP", "")
TLS_CA = os.environ.get("TLS_CA", "")
PREFIX = os.environ["PREFIX"]


# Logs go to standard error, because outcomes have standard output.
logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
log = logging.getLogger("cells")
log.setLevel(logging.INFO)


def records_outcome(records, first=0, count=10):
    """The outcome for records, pairs of offset and value, of which count are
    expected from offset first on. Values are the numbers 0, 1, ... as text.
    """
    offsets = [offset for offset, _ in records]
    values = [int(value) for _, value in records]
    what = f"{len(records)} records"
    if records:
        what += f", offsets {offsets[0]} to {offsets[-1]}"
    if offsets != list(range(first, first + count)):
        return f"wrong: {what}"
    if values != list(range(count)):
        return f"wrong: {what}, values {values}"
    return what


def once(values, expected):
    """'10 records once' when values are the expected ones in any order."""
    if sorted(values) != sorted(expected):
        return f"wrong records: {sorted(values)}"
    return f"{len(values)} records once"


class Cells:
    """The cells of one client. error_name names an exception as the client's
    users know it."""

    def __init__(self, error_name):
        self._error_name = error_name
        self._functions = {}

    def cell(self, name):
        """Registers a function, or coroutine function, without arguments. It
        returns the outcome."""

        def register(function):
            self._functions[name] = function
            return function

        return register

    def not_offered(self, *names):
        """Says that the library has no such operation."""
        for name in names:
            self._functions[name] = lambda: "not offered"

    def error(self, exception):
        """The outcome of an exception."""
        return f"error: {self._error_name(exception)}"

    def name_of(self, exception):
        """The name of an exception, for outcomes with more than one part."""
        return self._error_name(exception)

    def run(self):
        """Runs all cells, or those that CELLS names, and ends the process.
        What a cell past its limit still does ends with it."""
        assert set(self._functions) == set(NAMES), set(self._functions) ^ set(NAMES)
        wanted = [name for name in os.environ.get("CELLS", "").split(",") if name]
        for name in NAMES:
            if not wanted or name in wanted:
                outcome = self._outcome(name)
                print(json.dumps({"cell": name, "outcome": outcome}), flush=True)
        os._exit(0)

    def _outcome(self, name):
        if name.startswith("tls/") and not TLS_BOOTSTRAP:
            return "not run: no TLS listener"
        if name.startswith("sasl/") and not SASL_BOOTSTRAP:
            return "not run: no SASL listener"
        outcome = ["error: time out"]
        thread = threading.Thread(target=self._call, args=(name, outcome), daemon=True)
        thread.start()
        thread.join(TIME_LIMIT)
        return outcome[0]

    def _call(self, name, outcome):
        function = self._functions[name]
        log.info("%s begins", name)
        try:
            if inspect.iscoroutinefunction(function):
                outcome[0] = asyncio.run(function())
            else:
                outcome[0] = function()
        except Exception as e:
            log.exception("%s failed", name)
            outcome[0] = self.error(e)
