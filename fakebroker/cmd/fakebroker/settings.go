package main

import (
	"errors"
	"fmt"

	"example.com/kafkatest/fakebroker"
)

// settings are the flags, which can be set in the environment and in a file too:
// see sources.
type settings struct {
	Listen           []string `placeholder:"HOST:PORT" sep:"none" help:"Address of a broker; repeat it for more brokers. Port 0 takes a free one. Default: ${listen}."`
	Topic            []string `placeholder:"NAME[:PARTITIONS]" sep:"none" help:"Topic to create; repeat it for more. One partition unless told otherwise."`
	AutoCreateTopics bool     `help:"Create topics that clients ask for."`
	DataDir          string   `placeholder:"DIR" help:"Keep topics, records and groups in this folder. Without it they end with the process."`
	Config           string   `placeholder:"FILE" help:"Read settings from this YAML file: names as here without the dashes in front, lists where a flag may be repeated."`
	JSON             bool     `name:"json" help:"Print the addresses as one JSON object in place of lines."`
	Version          bool     `help:"Print the version and exit."`
}

// config is what the settings mean to the package.
func (s settings) config() (fakebroker.Config, error) {
	c := fakebroker.Config{Listen: s.Listen, AutoCreateTopics: s.AutoCreateTopics, DataDir: s.DataDir}
	if len(c.Listen) == 0 {
		c.Listen = []string{defaultListen}
	}
	for _, t := range s.Topic {
		topic, err := fakebroker.ParseTopic(t)
		if err != nil {
			return c, fmt.Errorf("--topic: %w", err)
		}
		c.Topics = append(c.Topics, topic)
	}
	return c, nil
}

// inFlags names the flag that a field of the config comes from.
func inFlags(err error) error {
	var bad *fakebroker.ConfigError
	if !errors.As(err, &bad) {
		return err
	}
	names := map[string]string{"Listen": "--listen", "Brokers": "--listen", "Topics": "--topic", "DataDir": "--data-dir"}
	if flag, known := names[bad.Field]; known {
		return fmt.Errorf("%s: %w", flag, bad.Err)
	}
	return err
}
