"""kcat as its users use it: in a shell, with pipes. What the cells are is in
../CONTRACT.md.

kcat creates no topics, so confluent-kafka-python does.
"""

import re
import signal
import subprocess
import threading
import time

from confluent_kafka.admin import AdminClient, NewTopic

from cells import (
    BOOTSTRAP,
    CODECS,
    MECHANISMS,
    PREFIX,
    SASL_BOOTSTRAP,
    SASL_PASSWORD,
    SASL_USER,
    TLS_BOOTSTRAP,
    TLS_CA,
    Cells,
    once,
    records_outcome,
)

PLAINTEXT = ["-b", BOOTSTRAP]
TLS = [
    *("-b", TLS_BOOTSTRAP),
    *("-X", "security.protocol=ssl"),
    *("-X", f"ssl.ca.location={TLS_CA}"),
]


def sasl(mechanism, password=SASL_PASSWORD):
    return [
        *("-b", SASL_BOOTSTRAP),
        *("-X", "security.protocol=sasl_plaintext"),
        *("-X", f"sasl.mechanism={mechanism}"),
        *("-X", f"sasl.username={SASL_USER}"),
        *("-X", f"sasl.password={password}"),
    ]


class KcatError(Exception):
    """kcat ended with a status other than 0. Its text is librdkafka's
    description of the error."""

    def __init__(self, stderr):
        found = re.findall(r"(?:Broker|Local): [^:\n(]+", stderr)
        super().__init__(found[0].strip() if found else stderr.strip())


def error_name(exception):
    return str(exception) if isinstance(exception, KcatError) else type(exception).__name__


cells = Cells(error_name)


# What several cells do.


def kcat(*arguments, stdin=""):
    """Runs kcat to its end and returns what it prints."""
    done = subprocess.run(
        ["kcat", *arguments], input=stdin, capture_output=True, text=True, timeout=12
    )
    if done.returncode != 0:
        raise KcatError(done.stderr)
    return done.stdout


def create_topic(name):
    """Creates a topic with two partitions and returns its full name."""
    topic = f"{PREFIX}-{name}"
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    for future in admin.create_topics([NewTopic(topic, 2)]).values():
        future.result()
    return topic


def send(topic, values, *arguments, partition=0, connection=PLAINTEXT):
    lines = "".join(f"{value}:{value}\n" for value in values)
    kcat(
        *("-P", *connection, "-t", topic, "-p", str(partition), "-K:"),
        *arguments,
        stdin=lines,
    )


def read(topic, *arguments, connection=PLAINTEXT):
    """Reads partition 0, from its beginning to its end unless told otherwise,
    and returns pairs of offset and value."""
    where = arguments or ("-o", "beginning", "-e")
    printed = kcat(
        *("-C", "-q", *connection, "-t", topic, "-p", "0", "-f", "%o %s\n"), *where
    )
    return [(int(line.split()[0]), line.split()[1]) for line in printed.splitlines()]


def produce_and_read(name, *arguments, connection=PLAINTEXT):
    topic = create_topic(name)
    send(topic, range(10), *arguments, connection=connection)
    return records_outcome(read(topic, connection=connection))


class Member:
    """A kcat that consumes in a group until it is told to leave."""

    def __init__(self, group, topic):
        self.values = []
        self.partitions = 0
        self._process = subprocess.Popen(
            [
                *("kcat", "-G", f"{PREFIX}-{group}", "-u", "-f", "%s\n", *PLAINTEXT),
                *("-X", "auto.offset.reset=earliest"),
                *("-X", "heartbeat.interval.ms=500", "-X", "session.timeout.ms=6000"),
                topic,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for follow in [self._follow_records, self._follow_assignments]:
            threading.Thread(target=follow, daemon=True).start()

    def _follow_records(self):
        for line in self._process.stdout:
            self.values.append(int(line))

    def _follow_assignments(self):
        # % Group g rebalanced (memberid m): assigned: t [0], t [1]
        for line in self._process.stderr:
            if ": assigned: " in line:
                self.partitions = line.count("[")
            elif ": revoked: " in line:
                self.partitions = 0

    def leave(self):
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=10)


def wait_until(done):
    deadline = time.monotonic() + 10
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def two_members(group, topic):
    """Two members of a group, with a partition each."""
    members = [Member(group, topic), Member(group, topic)]
    wait_until(lambda: [m.partitions for m in members] == [1, 1])
    return members


def send_five_to_each_partition(topic, first):
    send(topic, range(first, first + 5), partition=0)
    send(topic, range(first + 5, first + 10), partition=1)


# The cells.


@cells.cell("topic/create")
def topic_create():
    topic = create_topic("create")
    [partitions] = re.findall(r"with (\d+) partitions", kcat("-L", *PLAINTEXT, "-t", topic))
    return f"not offered; metadata: {partitions} partitions"


@cells.cell("produce/plain")
def produce_plain():
    return produce_and_read("plain")


def produce_compressed(codec):
    @cells.cell(f"produce/{codec}")
    def _():
        return produce_and_read(codec, "-X", f"compression.codec={codec}")


for each in CODECS:
    produce_compressed(each)


@cells.cell("produce/idempotent")
def produce_idempotent():
    return produce_and_read("idempotent", "-X", "enable.idempotence=true")


@cells.cell("produce/transactional")
def produce_transactional():
    return produce_and_read(
        "transactional", "-X", f"transactional.id={PREFIX}-transactional"
    )


@cells.cell("produce/aborted")
def produce_aborted():
    topic = create_topic("aborted")
    transactional = ["-X", f"transactional.id={PREFIX}-aborted"]
    # Ctrl-C aborts. kcat reads its input in blocks of 1,024 bytes, so ten lines
    # that fill one are all sent before that.
    lines = [f"{i:0101}\n" for i in range(9)]
    lines.append(f"{9:0{1023 - len(''.join(lines))}}\n")
    aborted = subprocess.Popen(
        ["kcat", "-P", *PLAINTEXT, "-t", topic, "-p", "0", *transactional],
        stdin=subprocess.PIPE,
        text=True,
    )
    aborted.stdin.write("".join(lines))
    aborted.stdin.flush()
    read(topic, *("-o", "beginning", "-c", "10", "-X", "isolation.level=read_uncommitted"))
    aborted.send_signal(signal.SIGINT)
    aborted.stdin.close()
    aborted.wait(timeout=10)
    send(topic, range(10, 20), *transactional)
    values = [int(value) for _, value in read(topic)]
    committed = sum(value >= 10 for value in values)
    return f"{committed} committed records, {len(values) - committed} aborted"


@cells.cell("group/two members")
def group_two_members():
    topic = create_topic("two-members")
    one, other = two_members("two-members", topic)
    send_five_to_each_partition(topic, 0)
    wait_until(lambda: len(one.values) + len(other.values) >= 10)
    one.leave()
    other.leave()
    return f"1 partition each, {once(one.values + other.values, range(10))}"


@cells.cell("group/rebalance")
def group_rebalance():
    topic = create_topic("rebalance")
    stays, leaves = two_members("rebalance", topic)
    send_five_to_each_partition(topic, 0)
    wait_until(lambda: len(stays.values) + len(leaves.values) >= 10)
    leaves.leave()
    wait_until(lambda: stays.partitions == 2)
    seen = len(stays.values)
    send_five_to_each_partition(topic, 10)
    wait_until(lambda: len(stays.values) - seen >= 10)
    stays.leave()
    return f"2 partitions after one left, {once(stays.values[seen:], range(10, 20))}"


cells.not_offered("group/commit")


@cells.cell("group/resume")
def group_resume():
    topic = create_topic("resume")
    send(topic, range(10))

    def consume(count):
        arguments = [
            *("-G", f"{PREFIX}-resume", "-q", "-c", str(count), "-f", "%s\n", *PLAINTEXT),
            *("-X", "auto.offset.reset=earliest"),
        ]
        return [int(line) for line in kcat(*arguments, topic).splitlines()]

    consume(4)
    values = consume(6)
    return f"resumed at {min(values)}, {len(values)} records"


@cells.cell("consume/seek")
def consume_seek():
    topic = create_topic("seek")
    send(topic, range(5))
    time.sleep(0.1)  # kcat gives the time of sending, so record 5 is later
    send(topic, range(5, 10))
    timestamps = kcat(
        *("-C", "-q", *PLAINTEXT, "-t", topic, "-p", "0", "-e", "-f", "%T\n")
    ).split()
    outcome = []
    for name, where in [
        ("offset 7", "7"),
        ("beginning", "beginning"),
        ("timestamp", f"s@{timestamps[5]}"),
    ]:
        [(offset, _)] = read(topic, "-o", where, "-c", "1")
        outcome.append(f"{name}: {offset}")
    [end] = re.findall(r"offset (\d+)", kcat("-Q", *PLAINTEXT, "-t", f"{topic}:0:-1"))
    outcome.insert(2, f"end: {end}")
    return "; ".join(outcome)


cells.not_offered("group/describe", "group/reset", "group/delete")


@cells.cell("tls/produce and consume")
def tls():
    return produce_and_read("tls", connection=TLS)


def produce_authenticated(mechanism):
    @cells.cell(f"sasl/{mechanism}")
    def _():
        return produce_and_read(f"sasl-{mechanism}", connection=sasl(mechanism))


for each in MECHANISMS:
    produce_authenticated(each)


@cells.cell("sasl/wrong password")
def wrong_password():
    outcome = []
    for mechanism in MECHANISMS:
        try:
            send(f"{PREFIX}-unused", [0], connection=sasl(mechanism, "wrong"))
            error = "no error"
        except KcatError as e:
            error = error_name(e)
        outcome.append(f"{mechanism}: {error}")
    return "; ".join(outcome)


@cells.cell("errors/unknown topic")
def unknown_topic():
    # A topic that is not there may be about to be created: librdkafka waits
    # for half a minute unless told otherwise.
    wait = ["-X", "topic.metadata.propagation.max.ms=1000"]
    send(f"{PREFIX}-unknown", [0], *wait)
    return "produced"


@cells.cell("errors/bad topic name")
def bad_topic_name():
    metadata = kcat("-L", *PLAINTEXT, "-t", "bad name!")
    [error] = re.findall(r'topic "bad name!" with 0 partitions: (.*)', metadata)
    return f"not offered; metadata of bad name!: {error}"


if __name__ == "__main__":
    cells.run()
