package clients_test

// difference is an outcome that the fake broker is known to have and Apache Kafka
// not.
type difference struct {
	clients []string
	cell    string
	reason  string // why it is so, a sentence; it is printed below the table
}

var knownDifferences = []difference{
	{
		clients: []string{"java-tools"},
		cell:    "tools/txn-producers",
		reason:  "The fake broker knows the producers of open transactions only; Apache Kafka lists idle ones too, for as long as it remembers them.",
	},
}
