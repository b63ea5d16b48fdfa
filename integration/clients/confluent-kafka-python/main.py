"""confluent-kafka-python, and with it librdkafka, as its users use it. What the
cells are is in ../CONTRACT.md.
"""

import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

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

PLAINTEXT = {"bootstrap.servers": BOOTSTRAP}
TLS = {
    "bootstrap.servers": TLS_BOOTSTRAP,
    "security.protocol": "SSL",
    "ssl.ca.location": TLS_CA,
}


def sasl(mechanism, password=SASL_PASSWORD):
    return {
        "bootstrap.servers": SASL_BOOTSTRAP,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": SASL_USER,
        "sasl.password": password,
    }


def error_name(exception):
    if isinstance(exception, KafkaException):
        return exception.args[0].name()
    return type(exception).__name__


cells = Cells(error_name)


# What several cells do.


def create_topic(name):
    """Creates a topic with two partitions and returns its full name."""
    topic = f"{PREFIX}-{name}"
    admin = AdminClient(PLAINTEXT)
    for future in admin.create_topics([NewTopic(topic, 2)]).values():
        future.result()
    return topic


def send(producer, topic, values, partition=0, timestamp=None):
    """Sends values and raises the first error of a delivery."""
    errors = []

    def delivered(error, _):
        if error:
            errors.append(error)

    for i, value in enumerate(values):
        at = {} if timestamp is None else {"timestamp": timestamp + 1000 * i}
        producer.produce(
            topic, str(value), str(value), partition, on_delivery=delivered, **at
        )
    producer.flush()
    if errors:
        raise KafkaException(errors[0])


def read(topic, count=10, connection=PLAINTEXT):
    """Reads partition 0 from its beginning to its end, which has count records
    at least, and returns pairs of offset and value."""
    consumer = Consumer(
        connection
        | {
            "group.id": f"{PREFIX}-unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    records, ended, deadline = [], False, time.monotonic() + 10
    while (len(records) < count or not ended) and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error() is None:
            records.append((message.offset(), message.value()))
            ended = False
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended = True
        else:
            raise KafkaException(message.error())
    consumer.close()
    return records


def produce_and_read(name, config=None, connection=PLAINTEXT):
    topic = create_topic(name)
    send(Producer(connection | (config or {})), topic, range(10))
    return records_outcome(read(topic, connection=connection))


def member(group, **config):
    """A consumer for a group. Heartbeats are quicker than by default, so that a
    member hears of a rebalance within half a second."""
    return Consumer(
        PLAINTEXT
        | {
            "group.id": f"{PREFIX}-{group}",
            "auto.offset.reset": "earliest",
            "heartbeat.interval.ms": 500,
            "session.timeout.ms": 6000,
        }
        | config
    )


def poll_until(members, done):
    """Polls all members until done(values) and returns the values received.
    Raises TimeoutError when that takes longer than 10 s."""
    values, deadline = [], time.monotonic() + 10
    while not done(values):
        if time.monotonic() > deadline:
            raise TimeoutError(f"received only {values}")
        for consumer in members:
            message = consumer.poll(0.05)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            values.append(int(message.value()))
    return values


def two_members(group, topic, **config):
    """Two members of a group, with a partition each."""
    members = [member(group, **config) for _ in range(2)]
    for consumer in members:
        consumer.subscribe([topic])
    poll_until(members, lambda _: [len(m.assignment()) for m in members] == [1, 1])
    return members


def send_five_to_each_partition(topic, first):
    producer = Producer(PLAINTEXT)
    send(producer, topic, range(first, first + 5), 0)
    send(producer, topic, range(first + 5, first + 10), 1)


# The cells.


@cells.cell("topic/create")
def topic_create():
    topic = create_topic("create")
    metadata = AdminClient(PLAINTEXT).list_topics(topic, timeout=5)
    partitions = len(metadata.topics[topic].partitions)
    try:
        create_topic("create")
        again = "created"
    except KafkaException as e:
        again = error_name(e)
    return f"{partitions} partitions; again: {again}"


@cells.cell("produce/plain")
def produce_plain():
    return produce_and_read("plain")


def produce_compressed(codec):
    @cells.cell(f"produce/{codec}")
    def _():
        return produce_and_read(codec, {"compression.type": codec})


for each in CODECS:
    produce_compressed(each)


@cells.cell("produce/idempotent")
def produce_idempotent():
    return produce_and_read("idempotent", {"enable.idempotence": True})


@cells.cell("produce/transactional")
def produce_transactional():
    topic = create_topic("transactional")
    producer = Producer(PLAINTEXT | {"transactional.id": f"{PREFIX}-transactional"})
    producer.init_transactions()
    producer.begin_transaction()
    send(producer, topic, range(10))
    producer.commit_transaction()
    return records_outcome(read(topic))


@cells.cell("produce/aborted")
def produce_aborted():
    topic = create_topic("aborted")
    producer = Producer(PLAINTEXT | {"transactional.id": f"{PREFIX}-aborted"})
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
    consumer = member("commit", **{"enable.auto.commit": False})
    consumer.subscribe([topic])
    poll_until([consumer], lambda values: len(values) >= 10)
    consumer.commit(
        offsets=[TopicPartition(topic, 0, 3), TopicPartition(topic, 1, 4)],
        asynchronous=False,
    )
    consumer.close()
    reader = member("commit")
    partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    committed = reader.committed(partitions, timeout=5)
    reader.close()
    return f"committed {committed[0].offset} and {committed[1].offset}"


@cells.cell("group/resume")
def group_resume():
    topic = create_topic("resume")
    send(Producer(PLAINTEXT), topic, range(10))
    first = member("resume", **{"enable.auto.commit": False})
    first.subscribe([topic])
    poll_until([first], lambda values: len(values) >= 4)
    first.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
    first.close()
    second = member("resume")
    second.subscribe([topic])
    values = poll_until([second], lambda values: len(values) >= 6)
    second.close()
    return f"resumed at {min(values)}, {len(values)} records"


@cells.cell("consume/seek")
def consume_seek():
    topic = create_topic("seek")
    start = int(time.time() * 1000) - 60_000
    send(Producer(PLAINTEXT), topic, range(10), timestamp=start)
    consumer = member("seek", **{"enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0)])
    poll_until([consumer], lambda values: values)
    outcome = []
    for name, offset in [("offset 7", 7), ("beginning", OFFSET_BEGINNING)]:
        consumer.seek(TopicPartition(topic, 0, offset))
        outcome.append(f"{name}: {poll_until([consumer], lambda values: values)[0]}")
    _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)
    outcome.append(f"end: {high}")
    [found] = consumer.offsets_for_times(
        [TopicPartition(topic, 0, start + 5000)], timeout=5
    )
    consumer.seek(found)
    outcome.append(f"timestamp: {poll_until([consumer], lambda values: values)[0]}")
    consumer.close()
    return "; ".join(outcome)


@cells.cell("group/describe")
def group_describe():
    topic = create_topic("describe")
    group = f"{PREFIX}-describe"
    members = two_members("describe", topic, **{"enable.auto.commit": False})
    send(Producer(PLAINTEXT), topic, range(10))
    poll_until(members, lambda values: len(values) >= 10)
    owner = next(m for m in members if TopicPartition(topic, 0) in m.assignment())
    owner.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    admin = AdminClient(PLAINTEXT)

    def describe():
        described = admin.describe_consumer_groups([group])[group].result()
        [request] = [ConsumerGroupTopicPartitions(group)]
        offsets = admin.list_consumer_group_offsets([request])[group].result()
        committed = {
            TopicPartition(p.topic, p.partition): p.offset
            for p in offsets.topic_partitions
            if p.offset >= 0
        }
        ends = admin.list_offsets({p: OffsetSpec.latest() for p in committed})
        lag = sum(end.result().offset - committed[p] for p, end in ends.items())
        return f"{described.state.name}, {len(described.members)} members, lag {lag}"

    with_members = describe()
    for consumer in members:
        consumer.close()
    return f"{with_members}; {describe()}"


@cells.cell("group/reset")
def group_reset():
    topic = create_topic("reset")
    group = f"{PREFIX}-reset"
    partition = TopicPartition(topic, 0)
    admin = AdminClient(PLAINTEXT)
    send(Producer(PLAINTEXT), topic, range(10))

    def consume(count):
        consumer = member("reset")
        consumer.subscribe([topic])
        values = poll_until([consumer], lambda values: len(values) >= count)
        consumer.close()
        return f"{len(values)} records from {min(values)}"

    def reset(offset):
        change = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, offset)])
        result = admin.alter_consumer_group_offsets([change])[group].result()
        for p in result.topic_partitions:
            if p.error:
                raise KafkaException(p.error)

    consume(10)
    listed = admin.list_offsets({partition: OffsetSpec.earliest()})
    reset(listed[partition].result().offset)
    earliest = consume(10)
    reset(5)
    return f"earliest: {earliest}; offset 5: {consume(5)}"


@cells.cell("group/delete")
def group_delete():
    topic = create_topic("delete")
    group = f"{PREFIX}-delete"
    admin = AdminClient(PLAINTEXT)
    consumer = member("delete")
    consumer.subscribe([topic])
    poll_until([consumer], lambda _: consumer.assignment())
    try:
        admin.delete_consumer_groups([group])[group].result()
        with_member = "deleted"
    except KafkaException as e:
        with_member = error_name(e)
    consumer.close()
    admin.delete_consumer_groups([group])[group].result()
    listed = {g.group_id for g in admin.list_consumer_groups().result().valid}
    empty = "still listed" if group in listed else "deleted"
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
    outcome = []
    for mechanism in MECHANISMS:
        errors = []
        producer = Producer(sasl(mechanism, "wrong") | {"error_cb": errors.append})
        deadline = time.monotonic() + 4
        while not errors and time.monotonic() < deadline:
            producer.poll(0.1)
        outcome.append(f"{mechanism}: {errors[0].name() if errors else 'no error'}")
    return "; ".join(outcome)


@cells.cell("errors/unknown topic")
def unknown_topic():
    # A topic that is not there may be about to be created: librdkafka waits
    # for half a minute unless told otherwise.
    producer = Producer(PLAINTEXT | {"topic.metadata.propagation.max.ms": 1000})
    send(producer, f"{PREFIX}-unknown", [0])
    return "produced"


@cells.cell("errors/bad topic name")
def bad_topic_name():
    admin = AdminClient(PLAINTEXT)
    outcome = []
    for name in ["bad name!", ""]:
        try:
            [future] = admin.create_topics([NewTopic(name, 2)]).values()
            future.result()
            error = "created"
        except Exception as e:
            error = error_name(e)
        outcome.append(f"{name or 'empty'}: {error}")
    return "; ".join(outcome)


if __name__ == "__main__":
    cells.run()
