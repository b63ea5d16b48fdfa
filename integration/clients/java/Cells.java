import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The cells of a program, in the order in which they were added (CONTRACT.md). */
final class Cells {
  static final String BOOTSTRAP = env("BOOTSTRAP");
  static final String SASL_BOOTSTRAP = env("SASL_BOOTSTRAP");
  static final String SASL_USER = env("SASL_USER");
  static final String SASL_PASSWORD = env("SASL_PASSWORD");
  static final String TLS_BOOTSTRAP = env("TLS_BOOTSTRAP");
  static final String TLS_CA = env("TLS_CA");
  static final String PREFIX = env("PREFIX");

  private static final int TIME_LIMIT_SECONDS = 15;

  private final Map<String, Callable<String>> cells = new LinkedHashMap<>();

  private static String env(String name) {
    return System.getenv().getOrDefault(name, "");
  }

  /** Adds a cell; what the function returns is its outcome. */
  void cell(String name, Callable<String> function) {
    cells.put(name, function);
  }

  /** Runs all cells, or those that CELLS names, and prints their outcomes. */
  void run() {
    List<String> wanted = new ArrayList<>(Arrays.asList(env("CELLS").split(",")));
    wanted.removeIf(String::isEmpty);
    cells.forEach(
        (name, function) -> {
          if (wanted.isEmpty() || wanted.contains(name)) {
            System.out.printf("{\"cell\": %s, \"outcome\": %s}%n", json(name), json(outcome(name, function)));
            System.out.flush();
          }
        });
  }

  private static String outcome(String name, Callable<String> function) {
    if (name.startsWith("tls/") && TLS_BOOTSTRAP.isEmpty()) {
      return "not run: no TLS listener";
    }
    if (name.startsWith("sasl/") && SASL_BOOTSTRAP.isEmpty()) {
      return "not run: no SASL listener";
    }
    System.err.println(name + " begins");
    FutureTask<String> task = new FutureTask<>(function);
    Thread thread = new Thread(task, name);
    thread.setDaemon(true);
    thread.start();
    try {
      return task.get(TIME_LIMIT_SECONDS, TimeUnit.SECONDS);
    } catch (TimeoutException e) {
      thread.interrupt();
      return "error: time out";
    } catch (ExecutionException e) {
      e.getCause().printStackTrace();
      return "error: " + name(e.getCause());
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  /** The name of an exception, or of the one that it is about. */
  static String name(Throwable e) {
    return cause(e).getClass().getSimpleName();
  }

  static Throwable cause(Throwable e) {
    return e instanceof ExecutionException && e.getCause() != null ? cause(e.getCause()) : e;
  }

  private static String json(String text) {
    StringBuilder b = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') {
        b.append('\\').append(c);
      } else if (c < ' ') {
        b.append(String.format("\\u%04x", (int) c));
      } else {
        b.append(c);
      }
    }
    return b.append('"').toString();
  }
}
