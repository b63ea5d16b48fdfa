"""kafka-python as its users use it. What the cells are is in ../CONTRACT.md."""

import time
from concurrent.futures import ThreadPoolExecutor

from kafka import (
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

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

PLAINTEXT = {"bootstrap_servers": BOOTSTRAP}
TLS = {
    "bootstrap_servers": TLS_BOOTSTRAP,
    "security_protocol": "SSL",
    "ssl_cafile": TLS_CA,
}


def sasl(mechanism, password=SASL_PASSWORD):
    return {
        "bootstrap_servers": SASL_BOOTSTRAP,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": SASL_USER,
        "sasl_plain_password": password,
    }


def error_name(exception):
    return type(exception).__name__


cells = Cells(error_name)


# What several cells do.


def create_topic(name):
    """Creates a topic with two partitions and returns its full name."""
    topic = f"{PREFIX}-{name}"
    with KafkaAdminClient(**PLAINTEXT) as admin:
        admin.create_topics({topic: {"num_partitions": 2}}, wait_for_metadata=True)
    return topic


def send(producer, topic, values, partition=0, timestamp=None):
    """Sends values and waits until all are acknowledged."""
    sent = []
    for i, value in enumerate(values):
        data = str(value).encode()
        at = None if timestamp is None else timestamp + 1000 * i
        sent.append(
            producer.send(
                topic, key=data, value=data, partition=partition, timestamp_ms=at
            )
        )
    for future in sent:
        future.get(timeout=10)


def send_plain(topic, values, partition=0, timestamp=None):
    with KafkaProducer(**PLAINTEXT) as producer:
        send(producer, topic, values, partition, timestamp)


def read(topic, count=10, connection=PLAINTEXT):
    """Reads partition 0 from its beginning to its end, which has count records
    at least, and returns pairs of offset and value."""
    partition = TopicPartition(topic, 0)
    records, deadline = [], time.monotonic() + 10
    with KafkaConsumer(isolation_level="read_committed", **connection) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning()
        while time.monotonic() < deadline:
            for record in consumer.poll(100).get(partition, []):
                records.append((record.offset, record.value))
            [end] = consumer.end_offsets([partition]).values()
            if len(records) >= count and consumer.position(partition) >= end:
                break
    return records


def produce_and_read(name, config=None, connection=PLAINTEXT):
    topic = create_topic(name)
    with KafkaProducer(**connection, **(config or {})) as producer:
        send(producer, topic, range(10))
    return records_outcome(read(topic, connection=connection))


def member(group, **config):
    """A consumer for a group. Heartbeats are quicker than by default, so that a
    member hears of a rebalance within half a second."""
    return KafkaConsumer(
        group_id=f"{PREFIX}-{group}",
        auto_offset_reset="earliest",
        heartbeat_interval_ms=500,
        session_timeout_ms=6000,
        **PLAINTEXT,
        **config,
    )


def poll_until(members, done, max_records=None):
    """Polls all members until done(values) and returns the values received.
    Raises TimeoutError when that takes longer than 10 s.

    Members are polled side by side and for a second: a poll that ends while
    its member is joining can lose the assignment.
    """
    values, deadline = [], time.monotonic() + 10

    def poll(consumer):
        return consumer.poll(1000, max_records=max_records)

    with ThreadPoolExecutor(len(members)) as pool:
        while not done(values):
            if time.monotonic() > deadline:
                raise TimeoutError(f"received only {values}")
            for polled in pool.map(poll, members):
                for records in polled.values():
                    values.extend(int(record.value) for record in records)
    return values


def two_members(group, topic, **config):
    """Two members of a group, with a partition each."""
    members = [member(group, **config) for _ in range(2)]
    for consumer in members:
        consumer.subscribe([topic])
    poll_until(members, lambda _: [len(m.assignment()) for m in members] == [1, 1])
    return members


def send_five_to_each_partition(topic, first):
    send_plain(topic, range(first, first + 5), 0)
    send_plain(topic, range(first + 5, first + 10), 1)


# The cells.


@cells.cell("topic/create")
def topic_create():
    topic = create_topic("create")
    with KafkaAdminClient(**PLAINTEXT) as admin:
        [described] = admin.describe_topics([topic])
    try:
        create_topic("create")
        again = "created"
    except KafkaError as e:
        again = error_name(e)
    return f"{len(described['partitions'])} partitions; again: {again}"


@cells.cell("produce/plain")
def produce_plain():
    return produce_and_read("plain", {"enable_idempotence": False})


def produce_compressed(codec):
    @cells.cell(f"produce/{codec}")
    def _():
        return produce_and_read(
            codec, {"compression_type": codec, "enable_idempotence": False}
        )


for each in CODECS:
    produce_compressed(each)


@cells.cell("produce/idempotent")
def produce_idempotent():
    return produce_and_read("idempotent", {"enable_idempotence": True})


@cells.cell("produce/transactional")
def produce_transactional():
    topic = create_topic("transactional")
    with KafkaProducer(
        transactional_id=f"{PREFIX}-transactional", **PLAINTEXT
    ) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        send(producer, topic, range(10))
        producer.commit_transaction()
    return records_outcome(read(topic))


@cells.cell("produce/aborted")
def produce_aborted():
    topic = create_topic("aborted")
    with KafkaProducer(transactional_id=f"{PREFIX}-aborted", **PLAINTEXT) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        send(producer, topic, range(10))
        producer.abort_transaction()
        producer.begin_transaction()
        send(producer, topic, range(10, 20))
        producer.commit_transaction()
    values = [int(value) for _, value in read(topic)]
    committed = sum(value >= 10 for value in values)
    return f"{committed} committed records, {len(values) - committed} aborted"


@cells.cell("group/two members")
def group_two_members():
    topic = create_topic("two-members")
    members = two_members("two-members", topic)
    send_five_to_each_partition(topic, 0)
    values = poll_until(members, lambda values: len(values) >= 10)
    for consumer in members:
        consumer.close()
    return f"1 partition each, {once(values, range(10))}"


@cells.cell("group/rebalance")
def group_rebalance():
    topic = create_topic("rebalance")
    stays, leaves = members = two_members("rebalance", topic)
    send_five_to_each_partition(topic, 0)
    poll_until(members, lambda values: len(values) >= 10)
    leaves.close()
    poll_until([stays], lambda _: len(stays.assignment()) == 2)
    send_five_to_each_partition(topic, 10)
    values = poll_until([stays], lambda values: len(values) >= 10)
    stays.close()
    return f"2 partitions after one left, {once(values, range(10, 20))}"


@cells.cell("group/commit")
def group_commit():
    topic = create_topic("commit")
    send_five_to_each_partition(topic, 0)
    with member("commit", enable_auto_commit=False) as consumer:
        consumer.subscribe([topic])
        poll_until([consumer], lambda values: len(values) >= 10)
        consumer.commit(
            {
                TopicPartition(topic, 0): OffsetAndMetadata(3, "", -1),
                TopicPartition(topic, 1): OffsetAndMetadata(4, "", -1),
            }
        )
    with member("commit") as reader:
        committed = [reader.committed(TopicPartition(topic, i)) for i in range(2)]
    return f"committed {committed[0]} and {committed[1]}"


@cells.cell("group/resume")
def group_resume():
    topic = create_topic("resume")
    send_plain(topic, range(10))
    with member("resume", enable_auto_commit=False) as first:
        first.subscribe([topic])
        # What commit() commits is the position, so no more is polled than is
        # to be committed.
        poll_until([first], lambda values: len(values) >= 4, max_records=4)
        first.commit()
    with member("resume") as second:
        second.subscribe([topic])
        values = poll_until([second], lambda values: len(values) >= 6)
    return f"resumed at {min(values)}, {len(values)} records"


@cells.cell("consume/seek")
def consume_seek():
    topic = create_topic("seek")
    partition = TopicPartition(topic, 0)
    start = int(time.time() * 1000) - 60_000
    send_plain(topic, range(10), timestamp=start)
    with KafkaConsumer(**PLAINTEXT) as consumer:
        consumer.assign([partition])

        def value_here():
            return poll_until([consumer], lambda values: values)[0]

        consumer.seek(partition, 7)
        offset = value_here()
        consumer.seek_to_beginning(partition)
        beginning = value_here()
        consumer.seek_to_end(partition)
        end = consumer.position(partition)
        found = consumer.offsets_for_times({partition: start + 5000})
        consumer.seek(partition, found[partition].offset)
        timestamp = value_here()
    return (
        f"offset 7: {offset}; beginning: {beginning}; end: {end}; "
        f"timestamp: {timestamp}"
    )


@cells.cell("group/describe")
def group_describe():
    topic = create_topic("describe")
    group = f"{PREFIX}-describe"
    members = two_members("describe", topic, enable_auto_commit=False)
    send_plain(topic, range(10))
    poll_until(members, lambda values: len(values) >= 10)
    partition = TopicPartition(topic, 0)
    owner = next(m for m in members if partition in m.assignment())
    owner.commit({partition: OffsetAndMetadata(7, "", -1)})
    with KafkaAdminClient(**PLAINTEXT) as admin:

        def describe():
            described = admin.describe_groups([group])[group]
            committed = admin.list_group_offsets(group)[group]
            ends = admin.list_partition_offsets(dict.fromkeys(committed, OffsetSpec.LATEST))
            lag = sum(ends[p].offset - committed[p].offset for p in committed)
            state, members = described["group_state"], described["members"]
            return f"{state}, {len(members)} members, lag {lag}"

        with_members = describe()
        for consumer in members:
            consumer.close()
        return f"{with_members}; {describe()}"


@cells.cell("group/reset")
def group_reset():
    topic = create_topic("reset")
    group = f"{PREFIX}-reset"
    partition = TopicPartition(topic, 0)
    send_plain(topic, range(10))

    def consume(count):
        with member("reset") as consumer:
            consumer.subscribe([topic])
            values = poll_until([consumer], lambda values: len(values) >= count)
        return f"{len(values)} records from {min(values)}"

    consume(10)
    with KafkaAdminClient(**PLAINTEXT) as admin:
        admin.reset_group_offsets(group, {partition: OffsetSpec.EARLIEST})
        earliest = consume(10)
        admin.reset_group_offsets(group, {partition: 5})
        return f"earliest: {earliest}; offset 5: {consume(5)}"


@cells.cell("group/delete")
def group_delete():
    topic = create_topic("delete")
    group = f"{PREFIX}-delete"
    with KafkaAdminClient(**PLAINTEXT) as admin:

        def delete():
            result = admin.delete_groups([group])[group]
            return "deleted" if result == "OK" else result

        with member("delete") as consumer:
            consumer.subscribe([topic])
            poll_until([consumer], lambda _: consumer.assignment())
            with_member = delete()
        empty = delete()
        if group in {listed["group_id"] for listed in admin.list_groups()}:
            empty = "still listed"
        return f"with a member: {with_member}; empty: {empty}"


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
    # The cause is in the log only, and there only when the answer was read
    # before the end of the connection was seen.
    outcome = []
    for mechanism in MECHANISMS:
        try:
            KafkaAdminClient(
                bootstrap_timeout_ms=2000, **sasl(mechanism, "wrong")
            ).close()
            error = "no error"
        except KafkaError as e:
            error = error_name(e)
        outcome.append(f"{mechanism}: {error}")
    return "; ".join(outcome)


@cells.cell("errors/unknown topic")
def unknown_topic():
    with KafkaProducer(max_block_ms=3000, **PLAINTEXT) as producer:
        send(producer, f"{PREFIX}-unknown", [0])
    return "produced"


@cells.cell("errors/bad topic name")
def bad_topic_name():
    outcome = []
    with KafkaAdminClient(**PLAINTEXT) as admin:
        for name in ["bad name!", ""]:
            try:
                admin.create_topics({name: {"num_partitions": 2}})
                error = "created"
            except Exception as e:
                error = error_name(e)
            outcome.append(f"{name or 'empty'}: {error}")
    return "; ".join(outcome)


if __name__ == "__main__":
    cells.run()
