// KafkaJS as its users use it. What the cells are is in ../CONTRACT.md.

const fs = require("fs");
const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = require("kafkajs");
const SnappyCodec = require("kafkajs-snappy");
const lz4 = require("lz4-napi");
const { ZstdCodec } = require("zstd-codec");
const { Cells, given } = require("./cells.js");

// The codecs that do not come with the library, as its documentation adds them.
const zstd = new Promise((resolve) => ZstdCodec.run((lib) => resolve(new lib.Streaming())));
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from((await zstd).compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from((await zstd).decompress(buffer)),
});

const mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

// client is one whose waits are short, so that a cell does not take long.
function client(connection) {
  return new Kafka({
    clientId: "cells",
    brokers: [given.bootstrap],
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => console.error(entry.namespace, entry.log.message, entry.log.error || ""),
    retry: { initialRetryTime: 50, retries: 5 },
    ...connection,
  });
}

const tls = () => ({ brokers: [given.tlsBootstrap], ssl: { ca: [fs.readFileSync(given.tlsCA, "utf8")] } });

const sasl = (mechanism, password = given.saslPassword) => ({
  brokers: [given.saslBootstrap],
  sasl: { mechanism: mechanism.toLowerCase(), username: given.saslUser, password },
});

// errorName is the broker's error where it was one, by its name in the
// protocol, and the library's otherwise.
function errorName(e) {
  if (e.errors) return e.errors.map(errorName).join(", "); // KafkaJSAggregateError
  if (e.groups) return e.groups.map((g) => errorName(g.error)).join(", "); // KafkaJSDeleteGroupsError
  const name = e.type || e.name;
  return name === "KafkaJSNumberOfRetriesExceeded" && e.cause ? `${name}, ${errorName(e.cause)}` : name;
}

const cells = new Cells(errorName);

// What several cells do.

const numbers = (first, count) => Array.from({ length: count }, (_, i) => first + i);

async function withAdmin(use, connection) {
  const admin = client(connection).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

const create = (topic) =>
  withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] }));

// createTopic creates a topic with two partitions and returns its full name.
async function createTopic(name) {
  const topic = `${given.prefix}-${name}`;
  await create(topic);
  return topic;
}

const messages = (partition, first, count, timestamp) =>
  numbers(first, count).map((n, i) => ({
    partition,
    key: String(n),
    value: String(n),
    timestamp: timestamp === undefined ? undefined : String(timestamp + 1000 * i),
  }));

function newProducer(connection, config) {
  return client(connection).producer({
    allowAutoTopicCreation: false,
    createPartitioner: Partitioners.DefaultPartitioner,
    ...config,
  });
}

async function send(topic, toSend, { connection, config, compression } = {}) {
  const producer = newProducer(connection, config);
  await producer.connect();
  try {
    await producer.send({ topic, messages: toSend, compression });
  } finally {
    await producer.disconnect();
  }
}

const sendTen = (topic) => send(topic, messages(0, 0, 10));

const sendFiveToEachPartition = (topic, first) =>
  send(topic, [...messages(0, first, 5), ...messages(1, first + 5, 5)]);

async function until(what, done) {
  const deadline = Date.now() + 12000;
  while (!done()) {
    if (Date.now() > deadline) throw Object.assign(new Error(what()), { name: "wrong", type: what() });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// A member of a group that consumes from the earliest offset until it leaves.
// Heartbeats are quicker than by default, so that it hears of a rebalance soon.
class Member {
  constructor(group, connection, config) {
    this.records = [];
    this.partitions = [];
    this.consumer = client(connection).consumer({
      groupId: `${given.prefix}-${group}`,
      heartbeatInterval: 300,
      sessionTimeout: 6000,
      maxWaitTimeInMs: 100,
      allowAutoTopicCreation: false,
      ...config,
    });
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      this.partitions = Object.values(payload.memberAssignment).flat();
    });
  }

  async join(topic, run = {}) {
    await this.consumer.connect();
    await this.consumer.subscribe({ topic, fromBeginning: true });
    await this.consumer.run({
      eachMessage: async ({ partition, message }) => {
        this.records.push({ partition, offset: Number(message.offset), value: Number(message.value) });
      },
      ...run,
    });
    return this;
  }

  async received(count) {
    await until(() => `${this.records.length} records`, () => this.records.length >= count);
    return this.records;
  }

  commit(topic, offsets) {
    return this.consumer.commitOffsets(
      offsets.map((offset, partition) => ({ topic, partition, offset: String(offset) })),
    );
  }

  leave() {
    return this.consumer.disconnect();
  }
}

// read reads partition 0 from its beginning to its end, which has ten records at
// least. The library consumes in groups only.
async function read(topic, connection) {
  const member = await new Member(`read-${topic}`, connection).join(topic, { autoCommit: false });
  await member.received(10);
  await member.leave();
  return member.records.filter((r) => r.partition === 0);
}

function recordsOutcome(records) {
  let what = `${records.length} records`;
  if (records.length > 0) what += `, offsets ${records[0].offset} to ${records[records.length - 1].offset}`;
  const expected = String(numbers(0, 10));
  const right = String(records.map((r) => r.value)) === expected && String(records.map((r) => r.offset)) === expected;
  return right ? what : `wrong: ${what}, values ${records.map((r) => r.value)}`;
}

function once(records, first, count) {
  const values = records.map((r) => r.value).sort((a, b) => a - b);
  return String(values) === String(numbers(first, count)) ? `${values.length} records once` : `wrong records: ${values}`;
}

async function produceAndRead(name, how = {}) {
  const topic = await createTopic(name);
  await send(topic, messages(0, 0, 10), how);
  return recordsOutcome(await read(topic, how.connection));
}

// twoMembers are two members of a group, with a partition each.
async function twoMembers(group, topic, run) {
  const members = [new Member(group), new Member(group)];
  await Promise.all(members.map((m) => m.join(topic, run)));
  const have = () => members.map((m) => m.partitions.length).join(" and ");
  await until(() => `${have()} partitions`, () => have() === "1 and 1");
  return members;
}

const bothReceived = (members, count) =>
  until(
    () => `${members.map((m) => m.records.length).join(" and ")} records`,
    () => members.reduce((n, m) => n + m.records.length, 0) >= count,
  );

// failure is the name of an operation's error, or what to say when there is none.
async function failure(none, operation) {
  try {
    await operation();
    return none;
  } catch (e) {
    console.error(e.message);
    return errorName(e);
  }
}

// The cells.

cells.cell("topic/create", async () => {
  const topic = await createTopic("create");
  const metadata = await withAdmin((admin) => admin.fetchTopicMetadata({ topics: [topic] }));
  // To create a topic that is there is no error to the library; it returns false.
  const again = (await create(topic)) ? "created" : "not created";
  return `${metadata.topics[0].partitions.length} partitions; again: ${again}`;
});

cells.cell("produce/plain", () => produceAndRead("plain"));
for (const [codec, compression] of [
  ["gzip", CompressionTypes.GZIP],
  ["snappy", CompressionTypes.Snappy],
  ["lz4", CompressionTypes.LZ4],
  ["zstd", CompressionTypes.ZSTD],
]) {
  cells.cell(`produce/${codec}`, () => produceAndRead(codec, { compression }));
}
cells.cell("produce/idempotent", () =>
  produceAndRead("idempotent", { config: { idempotent: true, maxInFlightRequests: 1 } }),
);

async function transactional(name, use) {
  const topic = await createTopic(name);
  const producer = newProducer({}, { transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  try {
    await use(producer, topic);
  } finally {
    await producer.disconnect();
  }
  return read(topic);
}

cells.cell("produce/transactional", async () => {
  const records = await transactional("transactional", async (producer, topic) => {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: messages(0, 0, 10) });
    await transaction.commit();
  });
  return recordsOutcome(records);
});

cells.cell("produce/aborted", async () => {
  const records = await transactional("aborted", async (producer, topic) => {
    const aborted = await producer.transaction();
    await aborted.send({ topic, messages: messages(0, 0, 10) });
    await aborted.abort();
    const committed = await producer.transaction();
    await committed.send({ topic, messages: messages(0, 10, 10) });
    await committed.commit();
  });
  const committed = records.filter((r) => r.value >= 10).length;
  return `${committed} committed records, ${records.length - committed} aborted`;
});

cells.cell("group/two members", async () => {
  const topic = await createTopic("two-members");
  const members = await twoMembers("two-members", topic);
  await sendFiveToEachPartition(topic, 0);
  await bothReceived(members, 10);
  await Promise.all(members.map((m) => m.leave()));
  return `1 partition each, ${once(members.flatMap((m) => m.records), 0, 10)}`;
});

cells.cell("group/rebalance", async () => {
  const topic = await createTopic("rebalance");
  const members = await twoMembers("rebalance", topic);
  await sendFiveToEachPartition(topic, 0);
  await bothReceived(members, 10);
  const [stays, leaves] = members;
  await leaves.leave();
  await until(() => `${stays.partitions.length} partitions`, () => stays.partitions.length === 2);
  stays.records = [];
  await sendFiveToEachPartition(topic, 10);
  await stays.received(10);
  await stays.leave();
  return `2 partitions after one left, ${once(stays.records, 10, 10)}`;
});

cells.cell("group/commit", async () => {
  const topic = await createTopic("commit");
  await sendFiveToEachPartition(topic, 0);
  const member = await new Member("commit").join(topic, { autoCommit: false });
  await member.received(10);
  await member.commit(topic, [3, 4]);
  await member.leave();
  const [{ partitions }] = await withAdmin((admin) =>
    admin.fetchOffsets({ groupId: `${given.prefix}-commit`, topics: [topic] }),
  );
  const offsets = partitions.sort((a, b) => a.partition - b.partition).map((p) => p.offset);
  return `committed ${offsets.join(" and ")}`;
});

cells.cell("group/resume", async () => {
  const topic = await createTopic("resume");
  await sendTen(topic);
  const first = await new Member("resume").join(topic, { autoCommit: false });
  await first.received(4);
  await first.commit(topic, [4]);
  await first.leave();
  const second = await new Member("resume").join(topic);
  await second.received(6);
  await second.leave();
  return `resumed at ${second.records[0].offset}, ${second.records.length} records`;
});

cells.cell("consume/seek", async () => {
  const topic = await createTopic("seek");
  const start = Date.now() - 60000;
  await send(topic, messages(0, 0, 10, start));
  const member = await new Member("seek").join(topic, { autoCommit: false });
  await member.received(10);
  // What was fetched before a seek is not handed out after it.
  const seek = async (offset) => {
    member.records = [];
    member.consumer.seek({ topic, partition: 0, offset: String(offset) });
    return (await member.received(1))[0].value;
  };
  const outcome = [`offset 7: ${await seek(7)}`, `beginning: ${await seek(-2)}`];
  await withAdmin(async (admin) => {
    const { high } = (await admin.fetchTopicOffsets(topic)).find((o) => o.partition === 0);
    outcome.push(`end: ${high}`);
    const { offset } = (await admin.fetchTopicOffsetsByTimestamp(topic, start + 5000)).find((o) => o.partition === 0);
    outcome.push(`timestamp: ${await seek(offset)}`);
  });
  await member.leave();
  return outcome.join("; ");
});

async function describe(admin, groupId, topic) {
  const { groups } = await admin.describeGroups([groupId]);
  const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] });
  const ends = await admin.fetchTopicOffsets(topic);
  const lag = partitions
    .filter((p) => Number(p.offset) >= 0)
    .reduce((sum, p) => sum + Number(ends.find((e) => e.partition === p.partition).high) - Number(p.offset), 0);
  return `${groups[0].state}, ${groups[0].members.length} members, lag ${lag}`;
}

cells.cell("group/describe", async () => {
  const topic = await createTopic("describe");
  const members = await twoMembers("describe", topic, { autoCommit: false });
  await sendTen(topic);
  await bothReceived(members, 10);
  await members.find((m) => m.partitions.includes(0)).commit(topic, [7]);
  return withAdmin(async (admin) => {
    const stable = await describe(admin, `${given.prefix}-describe`, topic);
    await Promise.all(members.map((m) => m.leave()));
    return `${stable}; ${await describe(admin, `${given.prefix}-describe`, topic)}`;
  });
});

cells.cell("group/reset", async () => {
  const topic = await createTopic("reset");
  const groupId = `${given.prefix}-reset`;
  await sendTen(topic);
  const consume = async (count) => {
    const member = await new Member("reset").join(topic);
    await member.received(count);
    await member.leave();
    return `${member.records.length} records from ${member.records[0].offset}`;
  };
  await consume(10);
  return withAdmin(async (admin) => {
    await admin.resetOffsets({ groupId, topic, earliest: true });
    const earliest = await consume(10);
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: "5" }] });
    return `earliest: ${earliest}; offset 5: ${await consume(5)}`;
  });
});

cells.cell("group/delete", async () => {
  const topic = await createTopic("delete");
  const group = `${given.prefix}-delete`;
  return withAdmin(async (admin) => {
    const member = await new Member("delete").join(topic);
    await until(() => "no partitions", () => member.partitions.length > 0);
    const withMember = await failure("deleted", () => admin.deleteGroups([group]));
    await member.leave();
    await admin.deleteGroups([group]);
    const listed = (await admin.listGroups()).groups.some((g) => g.groupId === group);
    return `with a member: ${withMember}; empty: ${listed ? "still listed" : "deleted"}`;
  });
});

cells.cell("tls/produce and consume", () => produceAndRead("tls", { connection: tls() }));
for (const mechanism of mechanisms) {
  cells.cell(`sasl/${mechanism}`, () => produceAndRead(`sasl-${mechanism}`, { connection: sasl(mechanism) }));
}

cells.cell("sasl/wrong password", async () => {
  const outcome = [];
  for (const mechanism of mechanisms) {
    const admin = client(sasl(mechanism, "wrong")).admin();
    outcome.push(`${mechanism}: ${await failure("no error", () => admin.connect())}`);
    await admin.disconnect();
  }
  return outcome.join("; ");
});

cells.cell("errors/unknown topic", async () => {
  await send(`${given.prefix}-unknown`, messages(0, 0, 1));
  return "produced";
});

cells.cell("errors/bad topic name", async () => {
  const outcome = [];
  for (const name of ["bad name!", ""]) {
    outcome.push(`${name || "empty"}: ${await failure("created", () => create(name))}`);
  }
  return outcome.join("; ");
});

cells.run();
