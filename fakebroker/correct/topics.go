package correct

// topics is what is corrected about topics and partitions, but for their
// configurations.
var topics = []func(Cluster) []Correction{
	placement,
	reassigning,
	naming,
	creating,
	growing,
	deleting,
	electing,
	describing,
	storing,
	deletingRecords,
	keying,
	timestamping,
	internals,
}
