"""aiokafka as its users use it. What the cells are is in ../CONTRACT.md."""

import asyncio
import contextlib
import logging
import ssl
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

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


def tls():
    return {
        "bootstrap_servers": TLS_BOOTSTRAP,
        "security_protocol": "SSL",
        "ssl_context": ssl.create_default_context(cafile=TLS_CA),
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


class Admin(AIOKafkaAdminClient):
    """An admin client that is open within `async with`, as the library's
    consumers and producers are."""

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def create(self, topic):
        """Creates a topic with two partitions. The library leaves the error in
        the answer."""
        response = await self.create_topics([NewTopic(topic, 2, 1)])
        for _, error, *_ in response.topic_errors:
            if error:
                raise for_code(error)


async def create_topic(name):
    """Creates a topic with two partitions and returns its full name."""
    topic = f"{PREFIX}-{name}"
    async with Admin(**PLAINTEXT) as admin:
        await admin.create(topic)
    return topic


async def send(producer, topic, values, partition=0, timestamp=None):
    """Sends values and waits until all are acknowledged."""
    sent = []
    for i, value in enumerate(values):
        data = str(value).encode()
        at = None if timestamp is None else timestamp + 1000 * i
        sent.append(
            await producer.send(
                topic, data, key=data, partition=partition, timestamp_ms=at
            )
        )
    await asyncio.gather(*sent)


async def send_plain(topic, values, partition=0, timestamp=None):
    async with AIOKafkaProducer(**PLAINTEXT) as producer:
        await send(producer, topic, values, partition, timestamp)


async def read(topic, count=10, connection=PLAINTEXT):
    """Reads partition 0 from its beginning to its end, which has count records
    at least, and returns pairs of offset and value."""
    partition = TopicPartition(topic, 0)
    records, deadline = [], time.monotonic() + 10
    async with AIOKafkaConsumer(
        isolation_level="read_committed", **connection
    ) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning()
        while time.monotonic() < deadline:
            polled = await consumer.getmany(timeout_ms=100)
            for record in polled.get(partition, []):
                records.append((record.offset, record.value))
            [end] = (await consumer.end_offsets([partition])).values()
            if len(records) >= count and await consumer.position(partition) >= end:
                break
    return records


async def produce_and_read(name, config=None, connection=PLAINTEXT):
    topic = await create_topic(name)
    async with AIOKafkaProducer(**connection, **(config or {})) as producer:
        await send(producer, topic, range(10))
    return records_outcome(await read(topic, connection=connection))


def member(group, *topics, **config):
    """A consumer for a group. Heartbeats are quicker than by default, so that a
    member hears of a rebalance within half a second."""
    return AIOKafkaConsumer(
        *topics,
        group_id=f"{PREFIX}-{group}",
        auto_offset_reset="earliest",
        heartbeat_interval_ms=500,
        session_timeout_ms=6000,
        **PLAINTEXT,
        **config,
    )


async def poll_until(members, done, max_records=None):
    """Polls all members until done(values) and returns the values received.
    Raises TimeoutError when that takes longer than 10 s."""
    values, deadline = [], time.monotonic() + 10
    while not done(values):
        if time.monotonic() > deadline:
            raise TimeoutError(f"received only {values}")
        for consumer in members:
            polled = await consumer.getmany(timeout_ms=50, max_records=max_records)
            for records in polled.values():
                values.extend(int(record.value) for record in records)
    return values


async def two_members(group, topic, **config):
    """Two members of a group, with a partition each."""
    members = [member(group, topic, **config) for _ in range(2)]
    for consumer in members:
        await consumer.start()
    await poll_until(members, lambda _: [len(m.assignment()) for m in members] == [1, 1])
    return members


async def send_five_to_each_partition(topic, first):
    await send_plain(topic, range(first, first + 5), 0)
    await send_plain(topic, range(first + 5, first + 10), 1)


@contextlib.contextmanager
def logged():
    """Collects what the library logs, where it tells a cause only there."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("aiokafka").addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger("aiokafka").removeHandler(handler)


# The cells.


@cells.cell("topic/create")
async def topic_create():
    topic = await create_topic("create")
    async with Admin(**PLAINTEXT) as admin:
        [described] = await admin.describe_topics([topic])
    try:
        await create_topic("create")
        again = "created"
    except Exception as e:
        again = error_name(e)
    return f"{len(described['partitions'])} partitions; again: {again}"


@cells.cell("produce/plain")
async def produce_plain():
    return await produce_and_read("plain")


def produce_compressed(codec):
    @cells.cell(f"produce/{codec}")
    async def _():
        return await produce_and_read(codec, {"compression_type": codec})


for each in CODECS:
    produce_compressed(each)


@cells.cell("produce/idempotent")
async def produce_idempotent():
    return await produce_and_read("idempotent", {"enable_idempotence": True})


@cells.cell("produce/transactional")
async def produce_transactional():
    topic = await create_topic("transactional")
    async with AIOKafkaProducer(
        transactional_id=f"{PREFIX}-transactional", **PLAINTEXT
    ) as producer:
        async with producer.transaction():
            await send(producer, topic, range(10))
    return records_outcome(await read(topic))


@cells.cell("produce/aborted")
async def produce_aborted():
    topic = await create_topic("aborted")
    async with AIOKafkaProducer(
        transactional_id=f"{PREFIX}-aborted", **PLAINTEXT
    ) as producer:
        await producer.begin_transaction()
        await send(producer, topic, range(10))
        await producer.abort_transaction()
        await producer.begin_transaction()
        await send(producer, topic, range(10, 20))
        await producer.commit_transaction()
    values = [int(value) for _, value in await read(topic)]
    committed = sum(value >= 10 for value in values)
    return f"{committed} committed records, {len(values) - committed} aborted"


@cells.cell("group/two members")
async def group_two_members():
    topic = await create_topic("two-members")
    members = await two_members("two-members", topic)
    await send_five_to_each_partition(topic, 0)
    values = await poll_until(members, lambda values: len(values) >= 10)
    for consumer in members:
        await consumer.stop()
    return f"1 partition each, {once(values, range(10))}"


@cells.cell("group/rebalance")
async def group_rebalance():
    topic = await create_topic("rebalance")
    stays, leaves = members = await two_members("rebalance", topic)
    await send_five_to_each_partition(topic, 0)
    await poll_until(members, lambda values: len(values) >= 10)
    await leaves.stop()
    await poll_until([stays], lambda _: len(stays.assignment()) == 2)
    await send_five_to_each_partition(topic, 10)
    values = await poll_until([stays], lambda values: len(values) >= 10)
    await stays.stop()
    return f"2 partitions after one left, {once(values, range(10, 20))}"


@cells.cell("group/commit")
async def group_commit():
    topic = await create_topic("commit")
    await send_five_to_each_partition(topic, 0)
    partitions = [TopicPartition(topic, i) for i in range(2)]
    async with member("commit", topic, enable_auto_commit=False) as consumer:
        await poll_until([consumer], lambda values: len(values) >= 10)
        await consumer.commit({partitions[0]: 3, partitions[1]: 4})
    async with member("commit") as reader:
        committed = [await reader.committed(partition) for partition in partitions]
    return f"committed {committed[0]} and {committed[1]}"


@cells.cell("group/resume")
async def group_resume():
    topic = await create_topic("resume")
    await send_plain(topic, range(10))
    async with member("resume", topic, enable_auto_commit=False) as first:
        # What commit() commits is the position, so no more is polled than is
        # to be committed.
        await poll_until([first], lambda values: len(values) >= 4, max_records=4)
        await first.commit()
    async with member("resume", topic) as second:
        values = await poll_until([second], lambda values: len(values) >= 6)
    return f"resumed at {min(values)}, {len(values)} records"


@cells.cell("consume/seek")
async def consume_seek():
    topic = await create_topic("seek")
    partition = TopicPartition(topic, 0)
    start = int(time.time() * 1000) - 60_000
    await send_plain(topic, range(10), timestamp=start)
    async with AIOKafkaConsumer(**PLAINTEXT) as consumer:
        consumer.assign([partition])

        async def value_here():
            return (await poll_until([consumer], lambda values: values))[0]

        consumer.seek(partition, 7)
        offset = await value_here()
        await consumer.seek_to_beginning(partition)
        beginning = await value_here()
        await consumer.seek_to_end(partition)
        end = await consumer.position(partition)
        found = await consumer.offsets_for_times({partition: start + 5000})
        consumer.seek(partition, found[partition].offset)
        timestamp = await value_here()
    return (
        f"offset 7: {offset}; beginning: {beginning}; end: {end}; "
        f"timestamp: {timestamp}"
    )


@cells.cell("group/describe")
async def group_describe():
    topic = await create_topic("describe")
    group = f"{PREFIX}-describe"
    partition = TopicPartition(topic, 0)
    members = await two_members("describe", topic, enable_auto_commit=False)
    await send_plain(topic, range(10))
    await poll_until(members, lambda values: len(values) >= 10)
    owner = next(m for m in members if partition in m.assignment())
    await owner.commit({partition: 7})
    async with Admin(**PLAINTEXT) as admin:

        async def describe():
            [response] = await admin.describe_consumer_groups([group])
            [(error, _, state, _, _, members, *_)] = response.groups
            if error:
                raise for_code(error)
            committed = await admin.list_consumer_group_offsets(group)
            async with AIOKafkaConsumer(**PLAINTEXT) as consumer:
                ends = await consumer.end_offsets(list(committed))
            lag = sum(ends[p] - committed[p].offset for p in committed)
            return f"{state}, {len(members)} members, lag {lag}"

        with_members = await describe()
        for consumer in members:
            await consumer.stop()
        return f"{with_members}; {await describe()}"


@cells.cell("group/reset")
async def group_reset():
    topic = await create_topic("reset")
    partition = TopicPartition(topic, 0)
    await send_plain(topic, range(10))

    async def consume(count):
        async with member("reset", topic) as consumer:
            values = await poll_until([consumer], lambda values: len(values) >= count)
        return f"{len(values)} records from {min(values)}"

    async def reset(offset):
        """The admin client cannot, but a consumer that is no member can."""
        async with member("reset", enable_auto_commit=False) as consumer:
            consumer.assign([partition])
            await consumer.commit({partition: offset})

    await consume(10)
    async with AIOKafkaConsumer(**PLAINTEXT) as consumer:
        [beginning] = (await consumer.beginning_offsets([partition])).values()
    await reset(beginning)
    earliest = await consume(10)
    await reset(5)
    return f"earliest: {earliest}; offset 5: {await consume(5)}"


cells.not_offered("group/delete")


@cells.cell("tls/produce and consume")
async def produce_tls():
    return await produce_and_read("tls", connection=tls())


def produce_authenticated(mechanism):
    @cells.cell(f"sasl/{mechanism}")
    async def _():
        return await produce_and_read(f"sasl-{mechanism}", connection=sasl(mechanism))


for each in MECHANISMS:
    produce_authenticated(each)


@cells.cell("sasl/wrong password")
async def wrong_password():
    outcome = []
    for mechanism in MECHANISMS:
        producer = AIOKafkaProducer(**sasl(mechanism, "wrong"))
        with logged() as messages:
            try:
                await producer.start()
                error = "no error"
            except Exception as e:
                error = error_name(e)
        await producer.stop()
        if any("SaslAuthenticationFailed" in message for message in messages):
            error += " because of SaslAuthenticationFailed"
        outcome.append(f"{mechanism}: {error}")
    return "; ".join(outcome)


@cells.cell("errors/unknown topic")
async def unknown_topic():
    async with AIOKafkaProducer(request_timeout_ms=3000, **PLAINTEXT) as producer:
        await send(producer, f"{PREFIX}-unknown", [0])
    return "produced"


@cells.cell("errors/bad topic name")
async def bad_topic_name():
    outcome = []
    async with Admin(**PLAINTEXT) as admin:
        for name in ["bad name!", ""]:
            try:
                await admin.create(name)
                error = "created"
            except Exception as e:
                error = error_name(e)
            outcome.append(f"{name or 'empty'}: {error}")
    return "; ".join(outcome)


if __name__ == "__main__":
    cells.run()
