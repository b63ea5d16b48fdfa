package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control"
)

// settings are the flags, which can be set in the environment and in a file too:
// see sources. In the environment, lists are separated by commas, or by line
// ends where the tag lines says that a value may have commas.
type settings struct {
	Listen        []string `group:"Addresses" placeholder:"HOST:PORT" sep:"none" help:"Address of a broker, in plain text; repeat it for more brokers. Port 0 takes a free one. HOST:PORT=HOST:PORT tells clients another address than is listened on. Default: ${listen}, where no other listener is asked for."`
	TLSListen     []string `group:"Addresses" name:"tls-listen" placeholder:"HOST:PORT" sep:"none" help:"Another address of a broker, with TLS; as many as there are brokers."`
	SASLListen    []string `group:"Addresses" name:"sasl-listen" placeholder:"HOST:PORT" sep:"none" help:"Another address of a broker, where clients authenticate."`
	SASLTLSListen []string `group:"Addresses" name:"sasl-tls-listen" placeholder:"HOST:PORT" sep:"none" help:"Another address of a broker, with TLS, where clients authenticate."`
	Advertise     string   `group:"Addresses" placeholder:"HOST" help:"Tell clients this host in place of the one that is listened on. It is needed to listen on 0.0.0.0."`

	NodeID       []int32  `group:"Brokers" name:"node-id" placeholder:"ID" sep:"none" help:"Node id of a broker; repeat it for each. Default: 0, 1, 2, ..."`
	Rack         []string `group:"Brokers" placeholder:"RACK" sep:"none" help:"Rack of a broker; repeat it for each. Default: none."`
	AsVersion    string   `group:"Brokers" placeholder:"RELEASE" help:"Speak no newer protocol than this release of Kafka did, such as 2.8 or 3.9."`
	BrokerConfig []string `group:"Brokers" placeholder:"NAME=VALUE" sep:"none" lines:"" help:"Broker configuration by its Kafka name, such as message.max.bytes=100000; repeat it for more."`
	DataDir      string   `group:"Brokers" placeholder:"DIR" help:"Keep topics, records, groups and ACLs in this folder, which one process at a time can use. Without it they end with the process. Users are not kept, and ACLs that are kept are in force with --acl or --super-user only."`

	Topic            []string `group:"Topics" placeholder:"NAME[:PARTITIONS]" sep:"none" help:"Topic to create; repeat it for more. One partition unless told otherwise, or as many as --data-dir has of it. It may have fewer there, and gets the rest; never more."`
	AutoCreateTopics bool     `group:"Topics" help:"Create topics that clients ask for."`
	Load             []string `group:"Topics" placeholder:"FILE" sep:"none" help:"Write the records of this file at every start: JSON Lines with topic, key, value, headers (an object, or a list of objects with key and value), partition, timestamp, and key_base64 and value_base64 for bytes. Topics are made when missing. May be repeated."`

	TLSCert       string `group:"TLS" name:"tls-cert" placeholder:"FILE" help:"Certificate of the brokers, in PEM, with those that lead to its CA."`
	TLSKey        string `group:"TLS" name:"tls-key" placeholder:"FILE" help:"Its key, in PEM."`
	TLSDir        string `group:"TLS" name:"tls-dir" placeholder:"DIR" help:"Make a certificate, and write to this folder what clients need: ca.pem to trust, client.pem and client-key.pem to show. The CA is kept for the next start; a file of that name that was not made here is left alone, and nothing starts."`
	TLSClientCA   string `group:"TLS" name:"tls-client-ca" placeholder:"FILE" help:"CA of the certificates that clients show, in PEM. With --tls-dir, the made CA counts too."`
	TLSClientAuth string `group:"TLS" name:"tls-client-auth" placeholder:"none|requested|required" help:"Whether clients show a certificate, whose subject is who they are. Default: required with --tls-client-ca, else none."`

	SASLUser     []string `group:"Users" name:"sasl-user" placeholder:"MECHANISM:USER:PASSWORD" sep:"none" lines:"" help:"User of the listeners where clients authenticate, by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; repeat it for more. Flags show in the process list: prefer the environment (one a line) or a file."`
	SASLUserFile string   `group:"Users" name:"sasl-user-file" placeholder:"FILE" help:"Users, one a line as above. Empty lines and those that begin with # are passed over."`
	ACL          []string `group:"Users" name:"acl" placeholder:"PRINCIPAL:allow|deny:OPERATION:RESOURCE:NAME" sep:"none" lines:"" help:"Who may do what, such as alice:allow:read:topic:orders; repeat it for more. NAME may end in * as a prefix, or be * alone. Who does not authenticate is ANONYMOUS. With any, or with --super-user, nobody else may do anything that no ACL allows; without, everybody may do everything."`
	SuperUser    []string `group:"Users" placeholder:"USER" sep:"none" lines:"" help:"User who may do everything, whatever the ACLs, while others may do what ACLs allow: without any, nothing. Repeat it for more."`

	AllowEveryone bool `group:"Users" name:"allow-everyone-if-no-acl-found" help:"Let everybody do everything with a topic, group, transactional id or the cluster that no ACL is about, as Kafka does with the configuration of this name. It turns ACLs on, as --acl and --super-user do; not with --data-dir."`

	Control      string   `group:"Control" placeholder:"HOST:PORT" help:"Serve HTTP with JSON here, to look into the brokers and to break them on purpose; see /openapi.json. Off by default."`
	ControlToken string   `group:"Control" placeholder:"TOKEN" help:"What requests to it must bring, as Authorization: Bearer TOKEN. It is needed beyond loopback. Flags show in the process list: prefer the environment or a file."`
	ControlHost  []string `group:"Control" placeholder:"NAME" sep:"none" help:"Name by which requests may call it, besides localhost, addresses and the host of --control; repeat it for more."`

	Config  string `placeholder:"FILE" help:"Read settings from this YAML file: names as here without the dashes in front, lists where a flag may be repeated."`
	JSON    bool   `name:"json" help:"Print the addresses as one JSON object in place of lines: see above."`
	Version bool   `help:"Print the version and exit."`

	from map[string]string // what to call a setting in messages, where it is no flag
}

// name is what messages call a setting: as its user has written it.
func (s settings) name(setting string) string {
	if from, is := s.from[setting]; is {
		return from
	}
	return "--" + setting
}

// wrong says what is wrong about a setting.
func (s settings) wrong(setting, format string, args ...any) error {
	return mistake{fmt.Errorf("%s: %w", s.name(setting), fmt.Errorf(format, args...))}
}

// mistake is an error of whoever gave the settings.
type mistake struct{ error }

func (m mistake) Unwrap() error { return m.error }

// config is what the settings mean to the package.
func (s settings) config() (fakebroker.Config, error) {
	c := fakebroker.Config{
		NodeIDs: s.NodeID, Racks: s.Rack, AsVersion: s.AsVersion, DataDir: s.DataDir,
		AutoCreateTopics: s.AutoCreateTopics, Superusers: s.SuperUser, AllowEveryone: s.AllowEveryone,
	}
	c.Listeners = s.listeners()
	for _, text := range s.BrokerConfig {
		name, value, found := strings.Cut(text, "=")
		if !found {
			return c, s.wrong("broker-config", "%q is not NAME=VALUE, such as message.max.bytes=100000", text)
		}
		if _, twice := c.BrokerConfig[name]; twice {
			return c, s.wrong("broker-config", "%s is there twice; give it once", name)
		}
		if c.BrokerConfig == nil {
			c.BrokerConfig = make(map[string]string)
		}
		c.BrokerConfig[name] = value
	}
	for _, t := range s.Topic {
		topic, err := fakebroker.ParseTopic(t)
		if err != nil {
			return c, s.wrong("topic", "%w", err)
		}
		c.Topics = append(c.Topics, topic)
	}
	var err error
	if c.SASL, err = s.users(); err != nil {
		return c, err
	}
	if len(c.SASL) > 0 && len(s.SASLListen)+len(s.SASLTLSListen) == 0 {
		return c, s.wrong(s.usersFrom(), "nobody asks clients to authenticate; give --sasl-listen or --sasl-tls-listen")
	}
	for _, text := range s.ACL {
		a, err := fakebroker.ParseACL(text)
		if err != nil {
			return c, s.wrong("acl", "%w", err)
		}
		c.ACLs = append(c.ACLs, a)
	}
	const off = "nothing is controlled; give --control"
	switch {
	case s.Control == "" && s.ControlToken != "":
		return c, s.wrong("control-token", off)
	case s.Control == "" && len(s.ControlHost) > 0:
		return c, s.wrong("control-host", off)
	}
	c.TLSDir = s.TLSDir
	c.TLS, err = s.tls()
	return c, err
}

// listeners are the ones that are asked for, plain text first.
func (s settings) listeners() []fakebroker.Listener {
	if len(s.Listen)+len(s.TLSListen)+len(s.SASLListen)+len(s.SASLTLSListen) == 0 {
		s.Listen = defaultAddresses(max(len(s.NodeID), len(s.Rack), 1))
	}
	var out []fakebroker.Listener
	add := func(addrs []string, l fakebroker.Listener) {
		if len(addrs) == 0 {
			return
		}
		told := false
		for _, addr := range addrs {
			listen, advertise, both := strings.Cut(addr, "=")
			if !both {
				advertise = s.Advertise
				if advertise == "" {
					advertise, _, _ = net.SplitHostPort(listen)
				}
			}
			told = told || both || s.Advertise != ""
			l.Listen, l.Advertise = append(l.Listen, listen), append(l.Advertise, advertise)
		}
		if !told {
			l.Advertise = nil
		}
		out = append(out, l)
	}
	add(s.Listen, fakebroker.Listener{})
	add(s.TLSListen, fakebroker.Listener{TLS: true})
	add(s.SASLListen, fakebroker.Listener{SASL: true})
	add(s.SASLTLSListen, fakebroker.Listener{TLS: true, SASL: true})
	return out
}

// defaultAddresses are the default one, and the ports after it.
func defaultAddresses(n int) []string {
	host, port, _ := net.SplitHostPort(defaultListen)
	first, _ := strconv.Atoi(port)
	var out []string
	for i := range n {
		out = append(out, net.JoinHostPort(host, strconv.Itoa(first+i)))
	}
	return out
}

// startControl serves the control of a broker, if that is asked for.
func (s settings) startControl(b *fakebroker.Broker) (*control.Server, error) {
	if s.Control == "" {
		return nil, nil
	}
	return control.Start(b, control.Config{Addr: s.Control, Token: s.ControlToken, Hosts: s.ControlHost, Version: version()})
}

// inSettings names the setting that a field of the config comes from.
func (s settings) inSettings(err error) error {
	var badControl *control.ConfigError
	if errors.As(err, &badControl) {
		return s.wrong(map[string]string{"Addr": "control", "Token": "control-token", "Hosts": "control-host"}[badControl.Field], "%w", badControl.Err)
	}
	var bad *fakebroker.ConfigError
	if !errors.As(err, &bad) {
		return err
	}
	names := map[string]string{
		"NodeIDs": "node-id", "Racks": "rack", "AsVersion": "as-version", "Topics": "topic", "DataDir": "data-dir",
		"TLS": "tls-cert", "TLSDir": "tls-dir", "BrokerConfig": "broker-config", "SASL": s.usersFrom(), "ACLs": "acl", "Superusers": "super-user", "AllowEveryone": "allow-everyone-if-no-acl-found",
	}
	if bad.Field == "AllowEveryone" { // whose text is of the other one's field
		return s.wrong(names[bad.Field], "ACLs are on by it and it cannot be kept: leave out %s or this", s.name("data-dir"))
	}
	if name, known := names[bad.Field]; known {
		return s.wrong(name, "%w", bad.Err)
	}
	if bad.Field == "Advertise" && s.Advertise != "" {
		return s.wrong("advertise", "%w", bad.Err)
	}
	if bad.Field == "Listen" || bad.Field == "Advertise" || bad.Field == "Brokers" {
		return mistake{fmt.Errorf("%s: %w", s.listenNames(), bad.Err)}
	}
	return mistake{err}
}

// usersFrom is the setting that says who there is.
func (s settings) usersFrom() string {
	if len(s.SASLUser) == 0 && s.SASLUserFile != "" {
		return "sasl-user-file"
	}
	return "sasl-user"
}

// listenNames are the settings that addresses come from.
func (s settings) listenNames() string {
	var names []string
	for _, f := range []struct {
		name  string
		addrs []string
	}{{"listen", s.Listen}, {"tls-listen", s.TLSListen}, {"sasl-listen", s.SASLListen}, {"sasl-tls-listen", s.SASLTLSListen}} {
		if len(f.addrs) > 0 {
			names = append(names, s.name(f.name))
		}
	}
	if len(names) == 0 {
		return "--listen"
	}
	return strings.Join(names, ", ")
}
