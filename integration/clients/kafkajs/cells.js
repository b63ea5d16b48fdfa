// The cells of a program, in the order in which they were added (../CONTRACT.md).

// How many milliseconds a cell may take. To set a group's offsets, the library
// waits for the answer to a fetch, five seconds, and one cell does so twice.
const TIME_LIMIT = 30000;

const env = (name) => process.env[name] || "";

const given = {
  bootstrap: env("BOOTSTRAP"),
  saslBootstrap: env("SASL_BOOTSTRAP"),
  saslUser: env("SASL_USER"),
  saslPassword: env("SASL_PASSWORD"),
  tlsBootstrap: env("TLS_BOOTSTRAP"),
  tlsCA: env("TLS_CA"),
  prefix: env("PREFIX"),
};

class Cells {
  // errorName names an error as the library's users know it.
  constructor(errorName) {
    this.errorName = errorName;
    this.cells = [];
  }

  // cell adds one; what the function returns is its outcome.
  cell(name, run) {
    this.cells.push({ name, run });
  }

  // run runs all cells, or those that CELLS names, and ends the process. What a
  // cell past its limit still does ends with it.
  async run() {
    const wanted = env("CELLS").split(",").filter(Boolean);
    for (const { name, run } of this.cells) {
      if (wanted.length === 0 || wanted.includes(name)) {
        const outcome = await this.outcome(name, run);
        process.stdout.write(JSON.stringify({ cell: name, outcome }) + "\n");
      }
    }
    process.exit(0);
  }

  async outcome(name, run) {
    if (name.startsWith("tls/") && !given.tlsBootstrap) return "not run: no TLS listener";
    if (name.startsWith("sasl/") && !given.saslBootstrap) return "not run: no SASL listener";
    console.error(`${name} begins`);
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve("error: time out"), TIME_LIMIT);
    });
    try {
      return await Promise.race([run(), late]);
    } catch (e) {
      console.error(e);
      return `error: ${this.errorName(e)}`;
    } finally {
      clearTimeout(timer);
    }
  }
}

module.exports = { Cells, given };
