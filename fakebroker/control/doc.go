// Package control lets tests in any language look into a fakebroker and break it
// on purpose while it runs, by HTTP with JSON on a port of its own.
//
//	b, err := fakebroker.Start(fakebroker.Config{})
//	// ...
//	s, err := control.Start(b, control.Config{Addr: "127.0.0.1:9099"})
//	// ...
//	defer s.Close()
//
// There are topics, records, groups, transactions, brokers, and faults: each
// named fault of package fakebroker can be created with its scope, looked at for
// how often it struck, and cleared. The resources are described by an OpenAPI
// document, openapi.json, which is served too; README.md has examples with curl,
// and package controlclient is a client in Go.
//
// No web page can drive it: requests must name the server by an address or a
// known host (which keeps DNS rebinding out), must not come from a page (which
// says so in Origin), and must say that what they send is JSON. Beyond loopback
// a token is needed.
package control
