package kafka

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// The listeners, by Kafka's names of their security protocols.
const (
	plaintext     = "PLAINTEXT"
	saslPlaintext = "SASL_PLAINTEXT"
	ssl           = "SSL"
	saslSSL       = "SASL_SSL"
	controller    = "CONTROLLER"
)

// listeners are those that clients of a cluster with this config can use.
func (c Config) listeners() []string {
	all := []string{plaintext}
	if len(c.Users) > 0 {
		all = append(all, saslPlaintext)
	}
	if c.TLS {
		all = append(all, ssl)
	}
	if c.TLS && len(c.Users) > 0 {
		all = append(all, saslSSL)
	}
	return all
}

// properties are the server.properties of a node, which has the ports.
func (c Config) properties(n *node, controllerPort int) map[string]string {
	p := map[string]string{
		"node.id":                                          fmt.Sprint(n.id),
		"process.roles":                                    "broker",
		"controller.quorum.voters":                         fmt.Sprintf("1@%s:%d", host, controllerPort),
		"controller.listener.names":                        controller,
		"inter.broker.listener.name":                       plaintext,
		"log.dirs":                                         filepath.Join(n.dir, "data"),
		"auto.create.topics.enable":                        "false",
		"group.initial.rebalance.delay.ms":                 "0",
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     fmt.Sprint(c.Nodes),
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             fmt.Sprint(c.Nodes),
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"share.coordinator.state.topic.num.partitions":     fmt.Sprint(c.Nodes),
	}
	protocols := []string{controller + ":" + plaintext}
	var addrs []string
	for _, l := range c.listeners() {
		addrs = append(addrs, fmt.Sprintf("%s://%s:%d", l, host, n.ports[l]))
		protocols = append(protocols, l+":"+l)
	}
	if n.id == 1 {
		p["process.roles"] = "broker,controller"
		addrs = append(addrs, fmt.Sprintf("%s://%s:%d", controller, host, controllerPort))
	}
	p["listeners"] = strings.Join(addrs, ",")
	p["listener.security.protocol.map"] = strings.Join(protocols, ",")
	if len(c.Users) > 0 {
		p["sasl.enabled.mechanisms"] = strings.Join(mechanisms, ",")
		for _, l := range []string{saslPlaintext, saslSSL} {
			prefix := "listener.name." + strings.ToLower(l) + "."
			p[prefix+"plain.sasl.jaas.config"] = c.plainUsers()
			for _, m := range mechanisms[1:] {
				p[prefix+strings.ToLower(m)+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
			}
		}
	}
	if c.TLS {
		p["ssl.keystore.type"] = "PEM"
		p["ssl.keystore.location"] = filepath.Join(n.dir, keyFile)
	}
	if c.ACLs {
		super := []string{"User:ANONYMOUS"}
		for _, u := range c.Users {
			if u.Super {
				super = append(super, "User:"+u.Name)
			}
		}
		p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		p["super.users"] = strings.Join(super, ";")
		p["allow.everyone.if.no.acl.found"] = "true"
	}
	maps.Copy(p, c.Properties)
	return p
}

func (c Config) plainUsers() string {
	var b strings.Builder
	b.WriteString("org.apache.kafka.common.security.plain.PlainLoginModule required")
	for _, u := range c.Users {
		fmt.Fprintf(&b, ` user_%s="%s"`, u.Name, u.Password)
	}
	return b.String() + ";"
}

// propertiesFile is the text of a file that Java reads as these.
func propertiesFile(p map[string]string) []byte {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", k, escape.Replace(p[k]))
	}
	return []byte(b.String())
}
