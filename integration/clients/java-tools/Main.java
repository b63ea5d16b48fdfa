import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import kafka.admin.ConfigCommand;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.ClusterTool;
import org.apache.kafka.tools.ConsumerPerformance;
import org.apache.kafka.tools.DeleteRecordsCommand;
import org.apache.kafka.tools.EndToEndLatency;
import org.apache.kafka.tools.FeatureCommand;
import org.apache.kafka.tools.GetOffsetShell;
import org.apache.kafka.tools.GroupsCommand;
import org.apache.kafka.tools.LeaderElectionCommand;
import org.apache.kafka.tools.LogDirsCommand;
import org.apache.kafka.tools.MetadataQuorumCommand;
import org.apache.kafka.tools.ProducerPerformance;
import org.apache.kafka.tools.TopicCommand;
import org.apache.kafka.tools.TransactionsCommand;
import org.apache.kafka.tools.VerifiableConsumer;
import org.apache.kafka.tools.VerifiableProducer;
import org.apache.kafka.tools.consumer.ConsoleConsumer;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;
import org.apache.kafka.tools.consumer.group.ShareGroupCommand;
import org.slf4j.LoggerFactory;

/**
 * Apache Kafka's command-line tools, each as an operator calls it. What the cells are is in
 * ../CONTRACT.md. To start a JVM takes longer than most tools do, so they run in this one, but for
 * the two that end theirs without asking {@link Exit}.
 */
public final class Main {
  private static final String TOPIC = Cells.PREFIX + "-tools";
  private static final String CLASSIC = TOPIC + "-classic";
  private static final String CONSUMER = TOPIC + "-consumer";

  /** What the tool of this thread, and of the threads that it starts, has printed. */
  private static final InheritableThreadLocal<Output> OUTPUT = new InheritableThreadLocal<>();

  private Main() {}

  public static void main(String[] args) {
    LoggerFactory.getLogger(Main.class); // before there is another System.err: logs are not what a tool says
    PrintStream stdout = System.out;
    PrintStream stderr = System.err;
    System.setOut(redirected(stdout));
    System.setErr(redirected(stderr));
    Exit.setExitProcedure(Main::exited);
    Exit.setHaltProcedure(Main::exited);
    Exit.setShutdownHookAdder((name, hook) -> {}); // what is run at the end of a JVM, which is not that of the tool

    Cells cells = new Cells();
    cells.cell("tools/topic-create", () -> topics(said("Created topic " + TOPIC), "--create", "--topic", TOPIC, "--partitions", "3", "--replication-factor", "1"));
    cells.cell("tools/topic-describe", () -> topics(said("PartitionCount: 3\\s+ReplicationFactor: 1", "Partition: 2\\s+Leader: \\d+"), "--describe", "--topic", TOPIC));
    cells.cell("tools/topic-grow", () -> topics(said(), "--alter", "--topic", TOPIC, "--partitions", "4"));
    cells.cell("tools/verifiable-producer", () -> process(VerifiableProducer.class, said("\"acked\":500"), "--topic", TOPIC, "--max-messages", "500", "--acks", "-1"));
    cells.cell("tools/offsets", () -> run(GetOffsetShell::main, said(TOPIC + ":0:\\d+", TOPIC + ":3:\\d+"), "--topic", TOPIC));
    cells.cell("tools/consumer-classic", () -> consume(CLASSIC, "classic"));
    cells.cell("tools/consumer-848", () -> consume(CONSUMER, "consumer"));
    cells.cell("tools/groups-list", () -> consumerGroups(said("(?m)^" + CLASSIC + "$", "(?m)^" + CONSUMER + "$"), "--list"));
    cells.cell("tools/groups-describe", () -> consumerGroups(said("LAG", CLASSIC + "\\s+" + TOPIC + "\\s+\\d\\s+(\\d+)\\s+\\1\\s+0 "), "--describe", "--group", CLASSIC));
    cells.cell("tools/groups-describe-848", () -> consumerGroups(said("LAG", CONSUMER + "\\s+" + TOPIC + "\\s+\\d\\s+(\\d+)\\s+\\1\\s+0 "), "--describe", "--group", CONSUMER));
    cells.cell("tools/groups-reset", () -> consumerGroups(said("NEW-OFFSET", CLASSIC + "\\s+" + TOPIC + "\\s+3\\s+0"), "--group", CLASSIC, "--topic", TOPIC, "--reset-offsets", "--to-earliest", "--execute"));
    cells.cell("tools/groups-delete", () -> consumerGroups(said("successful"), "--delete", "--group", CONSUMER));
    cells.cell("tools/groups-all", () -> run(GroupsCommand::main, said(CLASSIC + "\\s+Classic\\s+consumer"), "--list"));
    cells.cell("tools/perf-producer", () -> producerPerformance());
    cells.cell("tools/perf-producer-lz4", () -> producerPerformance("--command-property", "compression.type=lz4", "enable.idempotence=true"));
    cells.cell("tools/perf-producer-txn", () -> producerPerformance("--command-property", "transactional.id=" + TOPIC, "--transaction-duration-ms", "100"));
    cells.cell("tools/perf-consumer", () -> run(ConsumerPerformance::main, said("MB.sec", "(?m), 60[0-9]{3}, [0-9.]+, "), "--topic", TOPIC, "--num-records", "60000", "--timeout", "10000"));
    cells.cell("tools/console-consumer", () -> run(ConsoleConsumer::main, said("Processed a total of 3 messages"), "--topic", TOPIC, "--from-beginning", "--max-messages", "3"));
    cells.cell("tools/configs-describe", () -> run(ConfigCommand::main, said("retention.ms=604800000"), "--describe", "--topic", TOPIC, "--all"));
    cells.cell("tools/configs-alter", () -> run(ConfigCommand::main, said("Completed updating config for topic " + TOPIC), "--alter", "--topic", TOPIC, "--add-config", "retention.ms=100000"));
    cells.cell("tools/cluster-id", () -> runAfter("cluster-id", ClusterTool::main, said("Cluster ID: \\S+")));
    cells.cell("tools/features", () -> run(FeatureCommand::main, said("Feature: metadata.version"), "describe"));
    cells.cell("tools/quorum", () -> run(MetadataQuorumCommand::main, said("LeaderId:\\s+\\d+"), "describe", "--status"));
    cells.cell("tools/logdirs", () -> run(LogDirsCommand::main, said("\"partition\":\"" + TOPIC + "-3\""), "--describe"));
    cells.cell("tools/txn-list", () -> run(TransactionsCommand::main, said(TOPIC + "\\s+\\d+\\s+\\d+\\s+\\w+"), "list"));
    cells.cell("tools/txn-producers", () -> run(TransactionsCommand::main, said("ProducerId", "(?m)^\\d+\\s+\\d+\\s+"), "describe-producers", "--topic", TOPIC, "--partition", "0"));
    cells.cell("tools/delete-records", Main::deleteRecords);
    cells.cell("tools/election", () -> run(LeaderElectionCommand::main, said(), "--election-type", "preferred", "--all-topic-partitions"));
    cells.cell("tools/e2e-latency", () -> run(EndToEndLatency::main, said("Avg latency"), "--topic", TOPIC, "--num-records", "50", "--producer-acks", "all", "--record-size", "100"));
    cells.cell("tools/scram", () -> run(ConfigCommand::main, said("Completed updating config for user " + TOPIC), "--alter", "--add-config", "SCRAM-SHA-256=[password=x]", "--entity-type", "users", "--entity-name", TOPIC));
    cells.cell("tools/share-list", () -> run(ShareGroupCommand::main, said(), "--list"));
    cells.cell("tools/topic-delete", () -> topics(said(), "--delete", "--topic", TOPIC));
    cells.run();
    stdout.flush();
    System.exit(0); // what a tool leaves running ends with it
  }

  // Tools that several cells call.

  private static String topics(List<String> expected, String... args) throws Exception {
    return run(TopicCommand::main, expected, args);
  }

  private static String consumerGroups(List<String> expected, String... args) throws Exception {
    return run(ConsumerGroupCommand::main, expected, args);
  }

  private static String consume(String group, String protocol) throws Exception {
    return process(
        VerifiableConsumer.class,
        said("\"name\":\"shutdown_complete\"", "\"name\":\"records_consumed\"", "\"success\":true"),
        "--topic", TOPIC, "--group-id", group, "--group-protocol", protocol, "--max-messages", "500", "--reset-policy", "earliest");
  }

  private static String producerPerformance(String... args) throws Exception {
    List<String> all = new ArrayList<>(List.of("--topic", TOPIC, "--num-records", "20000", "--record-size", "200", "--throughput", "-1"));
    all.addAll(List.of(args));
    all.addAll(List.of("--bootstrap-server", Cells.BOOTSTRAP));
    return call(ProducerPerformance::main, said("20000 records sent", "records/sec"), all);
  }

  private static String deleteRecords() throws Exception {
    Path file = Files.createTempFile("offsets", ".json");
    try {
      Files.writeString(file, "{\"version\": 1, \"partitions\": [{\"topic\": \"" + TOPIC + "\", \"partition\": 0, \"offset\": 0}]}");
      return run(DeleteRecordsCommand::main, said("low_watermark: 0"), "--offset-json-file", file.toString());
    } finally {
      Files.delete(file);
    }
  }

  // How a tool is called, and what is expected of it.

  private interface Tool {
    void main(String[] args) throws Exception;
  }

  /** What a tool prints when it does what it is for, as regular expressions. */
  private static List<String> said(String... patterns) {
    return List.of(patterns);
  }

  private static String run(Tool tool, List<String> expected, String... args) throws Exception {
    List<String> all = new ArrayList<>(List.of("--bootstrap-server", Cells.BOOTSTRAP));
    all.addAll(List.of(args));
    return call(tool, expected, all);
  }

  /** As run, for a tool that takes a command before its options. */
  private static String runAfter(String command, Tool tool, List<String> expected) throws Exception {
    return call(tool, expected, List.of(command, "--bootstrap-server", Cells.BOOTSTRAP));
  }

  private static String call(Tool tool, List<String> expected, List<String> args) throws Exception {
    Output output = new Output();
    OUTPUT.set(output);
    try {
      tool.main(args.toArray(new String[0]));
    } catch (Exited e) {
      // The first status counts: what unwinds a tool may look to it like a failure.
    } finally {
      OUTPUT.remove();
    }
    return judge(output.toString(), output.status, expected);
  }

  private static String process(Class<?> tool, List<String> expected, String... args) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
    command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), tool.getName(), "--bootstrap-server", Cells.BOOTSTRAP));
    command.addAll(List.of(args));
    Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    Output output = new Output();
    Thread reader = new Thread(() -> output.readAll(process));
    reader.setDaemon(true);
    reader.start();
    try {
      int status = process.waitFor();
      reader.join();
      return judge(output.toString(), status, expected);
    } catch (InterruptedException e) { // it takes too long
      process.destroyForcibly().waitFor(5, TimeUnit.SECONDS);
      System.err.println(output);
      throw e;
    }
  }

  private static final Pattern ERROR = Pattern.compile("\\b\\w+Exception\\b|(?m)^Error\\b");

  private static String judge(String output, int status, List<String> expected) {
    Matcher error = ERROR.matcher(output);
    String outcome = "done";
    if (error.find()) {
      outcome = "error: " + error.group();
    } else if (status != 0) {
      outcome = "error: exit status " + status;
    } else {
      for (String pattern : expected) {
        if (!Pattern.compile(pattern).matcher(output).find()) {
          outcome = "wrong: it did not say " + pattern.replace(TOPIC, "TOPIC");
          break;
        }
      }
    }
    if (!outcome.equals("done")) {
      System.err.println(output);
    }
    return outcome;
  }

  /** Ends a tool that wants to end its JVM. */
  private static final class Exited extends Error {
    private static final long serialVersionUID = 1;
  }

  private static void exited(int status, String message) {
    Output output = OUTPUT.get();
    if (output != null) {
      output.exited(status, message);
    }
    throw new Exited();
  }

  private static final class Output extends ByteArrayOutputStream {
    private int status;
    private boolean ended;

    synchronized void exited(int status, String message) {
      if (ended) {
        return;
      }
      ended = true;
      this.status = status;
      if (message != null) {
        writeBytes((message + "\n").getBytes());
      }
    }

    void readAll(Process process) {
      try {
        process.getInputStream().transferTo(this);
      } catch (IOException e) {
        writeBytes(e.toString().getBytes());
      }
    }
  }

  /** A stream that takes what a tool prints, and lets through what is printed elsewhere. */
  private static PrintStream redirected(PrintStream elsewhere) {
    return new PrintStream(
        new OutputStream() {
          private OutputStream target() {
            Output output = OUTPUT.get();
            return output == null ? elsewhere : output;
          }

          @Override
          public void write(int b) throws IOException {
            target().write(b);
          }

          @Override
          public void write(byte[] bytes, int offset, int length) throws IOException {
            target().write(bytes, offset, length);
          }

          @Override
          public void flush() throws IOException {
            target().flush();
          }
        },
        true);
  }
}
