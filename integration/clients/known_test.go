package clients_test

// difference is an outcome that the fake broker is known to have and Apache Kafka
// not.
type difference struct {
	clients []string
	cell    string
	reason  string // why it is so, a sentence; it is printed below the table
}

var knownDifferences = []difference{}
