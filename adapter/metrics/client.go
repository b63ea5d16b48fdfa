package metrics

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
)

// client counts what the clients of an adapter do, all together: it has one for
// publishing, and one for each consumer. What kprom has of a client's buffers is the
// first one's, which publishes.
type client struct {
	*kprom.Metrics
	once sync.Once
}

// OnNewClient is kgo's hook. Kprom registers its metrics for each client anew, which
// a registry refuses.
func (c *client) OnNewClient(cl *kgo.Client) { c.once.Do(func() { c.Metrics.OnNewClient(cl) }) }

// OnClientClosed is kgo's hook. Kprom takes its metrics back then.
func (c *client) OnClientClosed(*kgo.Client) {}
