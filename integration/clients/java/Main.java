import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Apache Kafka's own client for Java as its users use it. What the cells are is in ../CONTRACT.md. */
public final class Main {
  private static final Map<String, Object> PLAINTEXT = Map.of("bootstrap.servers", Cells.BOOTSTRAP);
  private static final Map<String, Object> TLS =
      Map.of(
          "bootstrap.servers", Cells.TLS_BOOTSTRAP,
          "security.protocol", "SSL",
          "ssl.truststore.type", "PEM",
          "ssl.truststore.location", Cells.TLS_CA);
  private static final List<String> MECHANISMS = List.of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512");

  private Main() {}

  public static void main(String[] args) {
    Cells cells = new Cells();
    cells.cell("topic/create", Main::topicCreate);
    cells.cell("produce/plain", () -> produceAndRead("plain", PLAINTEXT, Map.of()));
    for (String codec : List.of("gzip", "snappy", "lz4", "zstd")) {
      cells.cell("produce/" + codec, () -> produceAndRead(codec, PLAINTEXT, Map.of("compression.type", codec)));
    }
    cells.cell("produce/idempotent", () -> produceAndRead("idempotent", PLAINTEXT, Map.of("enable.idempotence", true)));
    cells.cell("produce/transactional", Main::transactional);
    cells.cell("produce/aborted", Main::aborted);
    cells.cell("group/two members", Main::groupTwoMembers);
    cells.cell("group/rebalance", Main::groupRebalance);
    cells.cell("group/commit", Main::groupCommit);
    cells.cell("group/resume", Main::groupResume);
    cells.cell("consume/seek", Main::consumeSeek);
    cells.cell("group/describe", Main::groupDescribe);
    cells.cell("group/reset", Main::groupReset);
    cells.cell("group/delete", Main::groupDelete);
    cells.cell("tls/produce and consume", () -> produceAndRead("tls", TLS, Map.of()));
    for (String mechanism : MECHANISMS) {
      cells.cell("sasl/" + mechanism, () -> produceAndRead("sasl-" + mechanism, sasl(mechanism, Cells.SASL_PASSWORD), Map.of()));
    }
    cells.cell("sasl/wrong password", Main::wrongPassword);
    cells.cell("errors/unknown topic", Main::unknownTopic);
    cells.cell("errors/bad topic name", Main::badTopicName);
    cells.run();
    System.exit(0); // what a cell past its limit still does ends with it
  }

  // What several cells do.

  private static Map<String, Object> sasl(String mechanism, String password) {
    String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
    return Map.of(
        "bootstrap.servers", Cells.SASL_BOOTSTRAP,
        "security.protocol", "SASL_PLAINTEXT",
        "sasl.mechanism", mechanism,
        "sasl.jaas.config",
            String.format(
                "org.apache.kafka.common.security.%s required username=\"%s\" password=\"%s\";",
                module, Cells.SASL_USER, password));
  }

  private static Map<String, Object> with(Map<String, Object> config, Map<String, Object> more) {
    Map<String, Object> all = new HashMap<>(config);
    all.putAll(more);
    return all;
  }

  private static void create(String topic) throws Exception {
    try (Admin admin = Admin.create(PLAINTEXT)) {
      admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get();
    }
  }

  /** Creates a topic with two partitions and returns its full name. */
  private static String createTopic(String name) throws Exception {
    String topic = Cells.PREFIX + "-" + name;
    create(topic);
    return topic;
  }

  private static KafkaProducer<String, String> producer(Map<String, Object> config) {
    return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
  }

  private static void send(KafkaProducer<String, String> producer, String topic, int partition, int first, int count)
      throws Exception {
    send(producer, topic, partition, first, count, null);
  }

  private static void send(
      KafkaProducer<String, String> producer, String topic, int partition, int first, int count, Long timestamp)
      throws Exception {
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      String value = Integer.toString(first + i);
      Long at = timestamp == null ? null : Long.valueOf(timestamp + 1000L * i);
      sent.add(producer.send(new ProducerRecord<>(topic, partition, at, value, value)));
    }
    producer.flush();
    for (Future<RecordMetadata> f : sent) {
      f.get();
    }
  }

  private static void sendTen(String topic) throws Exception {
    try (KafkaProducer<String, String> producer = producer(PLAINTEXT)) {
      send(producer, topic, 0, 0, 10);
    }
  }

  private static void sendFiveToEachPartition(String topic, int first) throws Exception {
    try (KafkaProducer<String, String> producer = producer(PLAINTEXT)) {
      send(producer, topic, 0, first, 5);
      send(producer, topic, 1, first + 5, 5);
    }
  }

  private static KafkaConsumer<String, String> consumer(Map<String, Object> config) {
    return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
  }

  /** Reads partition 0 from its beginning to its end, which has ten records at least. */
  private static List<ConsumerRecord<String, String>> read(String topic, Map<String, Object> connection) {
    List<ConsumerRecord<String, String>> records = new ArrayList<>();
    TopicPartition partition = new TopicPartition(topic, 0);
    try (KafkaConsumer<String, String> consumer = consumer(with(connection, Map.of("isolation.level", "read_committed")))) {
      consumer.assign(List.of(partition));
      consumer.seekToBeginning(List.of(partition));
      // A transaction is committed before its marker is written, so the end moves.
      while (records.size() < 10 || consumer.position(partition) < consumer.endOffsets(List.of(partition)).get(partition)) {
        consumer.poll(Duration.ofMillis(100)).forEach(records::add);
      }
    }
    return records;
  }

  private static String recordsOutcome(List<ConsumerRecord<String, String>> records) {
    String what = records.size() + " records";
    if (!records.isEmpty()) {
      what += ", offsets " + records.get(0).offset() + " to " + records.get(records.size() - 1).offset();
    }
    List<Integer> expected = IntStream.range(0, 10).boxed().collect(Collectors.toList());
    List<Integer> values = records.stream().map(Main::value).collect(Collectors.toList());
    List<Integer> offsets = records.stream().map(r -> (int) r.offset()).collect(Collectors.toList());
    return values.equals(expected) && offsets.equals(expected) ? what : "wrong: " + what + ", values " + values;
  }

  private static int value(ConsumerRecord<String, String> record) {
    return Integer.parseInt(record.value());
  }

  private static String produceAndRead(String name, Map<String, Object> connection, Map<String, Object> config)
      throws Exception {
    String topic = createTopic(name);
    try (KafkaProducer<String, String> producer = producer(with(connection, config))) {
      send(producer, topic, 0, 0, 10);
    }
    return recordsOutcome(read(topic, connection));
  }

  /**
   * A consumer for a group. Heartbeats are quicker than by default, so that a member hears of a
   * rebalance within half a second.
   */
  private static KafkaConsumer<String, String> member(String group) {
    return consumer(
        with(
            PLAINTEXT,
            Map.of(
                "group.id", Cells.PREFIX + "-" + group,
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false,
                "heartbeat.interval.ms", 500,
                "session.timeout.ms", 6000)));
  }

  /** Polls all members until it is done and returns the values received. */
  private static List<Integer> pollUntil(Collection<KafkaConsumer<String, String>> members, List<Integer> values, BooleanSupplier done) {
    while (!done.getAsBoolean()) {
      if (Thread.interrupted()) {
        throw new IllegalStateException("received only " + values);
      }
      for (KafkaConsumer<String, String> member : members) {
        member.poll(Duration.ofMillis(50)).forEach(r -> values.add(value(r)));
      }
    }
    return values;
  }

  private static List<Integer> receive(Collection<KafkaConsumer<String, String>> members, int count) {
    List<Integer> values = new ArrayList<>();
    return pollUntil(members, values, () -> values.size() >= count);
  }

  /** Two members of a group, with a partition each. */
  private static List<KafkaConsumer<String, String>> twoMembers(String group, String topic) {
    List<KafkaConsumer<String, String>> members = List.of(member(group), member(group));
    members.forEach(m -> m.subscribe(List.of(topic)));
    pollUntil(members, new ArrayList<>(), () -> members.stream().allMatch(m -> m.assignment().size() == 1));
    return members;
  }

  private static String once(List<Integer> values, int first, int count) {
    List<Integer> expected = IntStream.range(first, first + count).boxed().collect(Collectors.toList());
    List<Integer> sorted = values.stream().sorted().collect(Collectors.toList());
    return sorted.equals(expected) ? values.size() + " records once" : "wrong records: " + sorted;
  }

  /** What an operation's error is called, or what is said when there is none. */
  private static String error(String none, Callable<?> operation) {
    try {
      operation.call();
      return none;
    } catch (Exception e) {
      System.err.println(Cells.cause(e));
      return Cells.name(e);
    }
  }

  // The cells.

  private static String topicCreate() throws Exception {
    String topic = createTopic("create");
    try (Admin admin = Admin.create(PLAINTEXT)) {
      int partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
      return partitions + " partitions; again: " + error("created", () -> createTopic("create"));
    }
  }

  private static String transactional() throws Exception {
    String topic = createTopic("transactional");
    try (KafkaProducer<String, String> producer = producer(with(PLAINTEXT, Map.of("transactional.id", topic)))) {
      producer.initTransactions();
      producer.beginTransaction();
      send(producer, topic, 0, 0, 10);
      producer.commitTransaction();
    }
    return recordsOutcome(read(topic, PLAINTEXT));
  }

  private static String aborted() throws Exception {
    String topic = createTopic("aborted");
    try (KafkaProducer<String, String> producer = producer(with(PLAINTEXT, Map.of("transactional.id", topic)))) {
      producer.initTransactions();
      producer.beginTransaction();
      send(producer, topic, 0, 0, 10);
      producer.abortTransaction();
      producer.beginTransaction();
      send(producer, topic, 0, 10, 10);
      producer.commitTransaction();
    }
    List<ConsumerRecord<String, String>> records = read(topic, PLAINTEXT);
    long committed = records.stream().filter(r -> value(r) >= 10).count();
    return committed + " committed records, " + (records.size() - committed) + " aborted";
  }

  private static String groupTwoMembers() throws Exception {
    String topic = createTopic("two-members");
    List<KafkaConsumer<String, String>> members = twoMembers("two-members", topic);
    sendFiveToEachPartition(topic, 0);
    List<Integer> values = receive(members, 10);
    members.forEach(KafkaConsumer::close);
    return "1 partition each, " + once(values, 0, 10);
  }

  private static String groupRebalance() throws Exception {
    String topic = createTopic("rebalance");
    List<KafkaConsumer<String, String>> members = twoMembers("rebalance", topic);
    sendFiveToEachPartition(topic, 0);
    receive(members, 10);
    members.forEach(KafkaConsumer::commitSync);
    members.get(1).close();
    KafkaConsumer<String, String> stays = members.get(0);
    pollUntil(List.of(stays), new ArrayList<>(), () -> stays.assignment().size() == 2);
    sendFiveToEachPartition(topic, 10);
    List<Integer> values = receive(List.of(stays), 10);
    stays.close();
    return "2 partitions after one left, " + once(values, 10, 10);
  }

  private static String groupCommit() throws Exception {
    String topic = createTopic("commit");
    sendFiveToEachPartition(topic, 0);
    TopicPartition p0 = new TopicPartition(topic, 0);
    TopicPartition p1 = new TopicPartition(topic, 1);
    try (KafkaConsumer<String, String> consumer = member("commit")) {
      consumer.subscribe(List.of(topic));
      receive(List.of(consumer), 10);
      consumer.commitSync(Map.of(p0, new OffsetAndMetadata(3), p1, new OffsetAndMetadata(4)));
    }
    try (KafkaConsumer<String, String> reader = member("commit")) {
      Map<TopicPartition, OffsetAndMetadata> committed = reader.committed(Set.of(p0, p1));
      return "committed " + committed.get(p0).offset() + " and " + committed.get(p1).offset();
    }
  }

  private static String groupResume() throws Exception {
    String topic = createTopic("resume");
    sendTen(topic);
    try (KafkaConsumer<String, String> first = member("resume")) {
      first.subscribe(List.of(topic));
      receive(List.of(first), 4);
      first.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(4)));
    }
    try (KafkaConsumer<String, String> second = member("resume")) {
      second.subscribe(List.of(topic));
      List<Integer> values = receive(List.of(second), 6);
      return "resumed at " + values.stream().min(Integer::compare).get() + ", " + values.size() + " records";
    }
  }

  private static String consumeSeek() throws Exception {
    String topic = createTopic("seek");
    long start = System.currentTimeMillis() - 60_000;
    try (KafkaProducer<String, String> producer = producer(PLAINTEXT)) {
      send(producer, topic, 0, 0, 10, start);
    }
    TopicPartition partition = new TopicPartition(topic, 0);
    try (KafkaConsumer<String, String> consumer = member("seek")) {
      consumer.assign(List.of(partition));
      consumer.seek(partition, 7);
      String outcome = "offset 7: " + receive(List.of(consumer), 1).get(0);
      consumer.seekToBeginning(List.of(partition));
      outcome += "; beginning: " + receive(List.of(consumer), 1).get(0);
      consumer.seekToEnd(List.of(partition));
      outcome += "; end: " + consumer.position(partition);
      consumer.seek(partition, consumer.offsetsForTimes(Map.of(partition, start + 5000)).get(partition).offset());
      return outcome + "; timestamp: " + receive(List.of(consumer), 1).get(0);
    }
  }

  private static String groupDescribe() throws Exception {
    String topic = createTopic("describe");
    String group = Cells.PREFIX + "-describe";
    TopicPartition partition = new TopicPartition(topic, 0);
    List<KafkaConsumer<String, String>> members = twoMembers("describe", topic);
    sendTen(topic);
    receive(members, 10);
    for (KafkaConsumer<String, String> member : members) {
      if (member.assignment().contains(partition)) {
        member.commitSync(Map.of(partition, new OffsetAndMetadata(7)));
      }
    }
    try (Admin admin = Admin.create(PLAINTEXT)) {
      String stable = describe(admin, group);
      members.forEach(KafkaConsumer::close);
      return stable + "; " + describe(admin, group);
    }
  }

  private static String describe(Admin admin, String group) throws Exception {
    ConsumerGroupDescription d = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    Map<TopicPartition, OffsetAndMetadata> committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    long lag = 0;
    for (Map.Entry<TopicPartition, OffsetAndMetadata> e : committed.entrySet()) {
      lag += offset(admin, e.getKey(), OffsetSpec.latest()) - e.getValue().offset();
    }
    return d.groupState() + ", " + d.members().size() + " members, lag " + lag;
  }

  private static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
    return admin.listOffsets(Map.of(partition, spec)).all().get().get(partition).offset();
  }

  private static String groupReset() throws Exception {
    String topic = createTopic("reset");
    TopicPartition partition = new TopicPartition(topic, 0);
    sendTen(topic);
    consumeAndCommit(topic, 10);
    try (Admin admin = Admin.create(PLAINTEXT)) {
      reset(admin, partition, offset(admin, partition, OffsetSpec.earliest()));
      String earliest = consumeAndCommit(topic, 10);
      reset(admin, partition, 5);
      return "earliest: " + earliest + "; offset 5: " + consumeAndCommit(topic, 5);
    }
  }

  private static void reset(Admin admin, TopicPartition partition, long offset) throws Exception {
    admin.alterConsumerGroupOffsets(Cells.PREFIX + "-reset", Map.of(partition, new OffsetAndMetadata(offset))).all().get();
  }

  private static String consumeAndCommit(String topic, int count) {
    try (KafkaConsumer<String, String> consumer = member("reset")) {
      consumer.subscribe(List.of(topic));
      List<Integer> values = receive(List.of(consumer), count);
      consumer.commitSync();
      return values.size() + " records from " + values.stream().min(Integer::compare).get();
    }
  }

  private static String groupDelete() throws Exception {
    String topic = createTopic("delete");
    String group = Cells.PREFIX + "-delete";
    try (Admin admin = Admin.create(PLAINTEXT)) {
      String withMember;
      try (KafkaConsumer<String, String> consumer = member("delete")) {
        consumer.subscribe(List.of(topic));
        pollUntil(List.of(consumer), new ArrayList<>(), () -> !consumer.assignment().isEmpty());
        withMember = error("deleted", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
      }
      admin.deleteConsumerGroups(List.of(group)).all().get();
      Set<String> listed = new HashSet<>();
      for (GroupListing g : admin.listGroups().all().get()) {
        listed.add(g.groupId());
      }
      return "with a member: " + withMember + "; empty: " + (listed.contains(group) ? "still listed" : "deleted");
    }
  }

  private static String wrongPassword() {
    List<String> outcome = new ArrayList<>();
    for (String mechanism : MECHANISMS) {
      try (Admin admin = Admin.create(sasl(mechanism, "wrong"))) {
        outcome.add(mechanism + ": " + error("no error", () -> admin.describeCluster().nodes().get()));
      }
    }
    return String.join("; ", outcome);
  }

  private static String unknownTopic() throws Exception {
    // A topic that is not there may be about to be created: the client waits for a minute unless told otherwise.
    try (KafkaProducer<String, String> producer = producer(with(PLAINTEXT, Map.of("max.block.ms", 1000)))) {
      producer.send(new ProducerRecord<>(Cells.PREFIX + "-unknown", "0")).get();
      return "produced";
    } catch (java.util.concurrent.ExecutionException e) {
      // The cause of the time out is the broker's error.
      Throwable cause = Cells.cause(e);
      return "error: " + Cells.name(cause) + (cause.getCause() == null ? "" : ", " + Cells.name(cause.getCause()));
    }
  }

  private static String badTopicName() {
    List<String> outcome = new ArrayList<>();
    for (String name : List.of("bad name!", "")) {
      outcome.add((name.isEmpty() ? "empty" : name) + ": " + error("created", () -> {
        create(name);
        return null;
      }));
    }
    return String.join("; ", outcome);
  }
}
