package harness

import "example.com/kafkatest/fakebroker"

// transacts notes that somebody produces in transactions, where nothing else is told:
// where data ends has to be looked up then.
func (w *watch) transacts(p fakebroker.Produced) {
	if p.TransactionalID == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.foreign.transactional = true
}

// transactions reports whether somebody has begun to produce in transactions.
func (w *watch) transactions() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.foreign.transactional
}
