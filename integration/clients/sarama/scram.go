package main

import (
	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"example.com/kafkatest/integration/clients/cells"
)

// authenticate sets a config to SASL. For SCRAM sarama wants its user to bring
// the exchange.
func authenticate(config *sarama.Config, mechanism, password string) {
	config.Net.SASL.Enable = true
	config.Net.SASL.Mechanism = sarama.SASLMechanism(mechanism)
	config.Net.SASL.User = cells.SASLUser
	config.Net.SASL.Password = password
	hash := scram.SHA256
	if mechanism == sarama.SASLTypeSCRAMSHA512 {
		hash = scram.SHA512
	}
	config.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: hash} }
}

type scramClient struct {
	*scram.ClientConversation
	hash scram.HashGeneratorFcn
}

func (c *scramClient) Begin(user, password, authzID string) error {
	client, err := c.hash.NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	c.ClientConversation = client.NewConversation()
	return nil
}
