package clients_test

// difference is an outcome that the fake broker is known to have and Apache Kafka
// not.
type difference struct {
	clients []string
	cell    string
	reason  string // why it is so, a sentence; it is printed below the table
}

// knownDifferences are listed in the README below the table. There are none now.
var knownDifferences []difference
