package correct

// topics is what is corrected about topics and partitions, but for their
// configurations.
func topics(c Cluster) [][]Correction {
	return [][]Correction{
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
		internals(c),
	}
}
