package correct

import "slices"

// topics is what is corrected about topics and partitions, but for their
// configurations.
func topics(c Cluster) []Correction {
	return slices.Concat(
		placement(c),
		reassigning(c),
		naming(c),
		creating(c),
		growing(c),
		deleting(c),
		electing(c),
		describing(),
		storing(c),
		deletingRecords(c),
		keying(c),
		timestamping(c),
	)
}
