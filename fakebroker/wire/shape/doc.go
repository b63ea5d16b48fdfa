// Package shape tells, without decoding it, whether the body of a request can be
// what its API and version say: whether every string, array and tag that it
// announces is there. It is for whoever hands requests to a decoder that believes
// the numbers it reads: one that counts to the number of tags that a request names,
// or makes room for an array before it has looked for the elements.
//
//	if err := shape.Check(kmsg.Metadata, 9, body); err != nil {
//		return err // close the connection, as Apache Kafka does
//	}
//
// A request that is still arriving is checked piece by piece with a [Walk]. Nothing
// is copied, and what a request carries as it is, such as the records that are
// produced, is not looked at; so the cost depends on the number of fields alone.
//
// What requests look like is generated from Apache Kafka's own message definitions:
// see table.go.
package shape
