// Package controlclient controls a running fakebroker over HTTP: topics,
// records, groups, and everything that can go wrong on purpose. It is for tests
// in Go whose broker is another process; tests in other languages ask the same
// resources, which GET /openapi.json describes.
//
//	c, err := controlclient.New("http://127.0.0.1:9099")
//	// ...
//	f, err := c.CreateFault(ctx, controlclient.FaultSpec{
//		Fault: controlclient.Refuse,
//		Error: "NOT_LEADER_OR_FOLLOWER",
//		Scope: controlclient.Scope{APIs: []string{"Produce"}, Topic: "orders", Count: 2},
//	})
//	// ... what the code under test does about it ...
//	f, err = c.Fault(ctx, f.ID)
//	fmt.Println(f.Hits)
//	f, err = c.ClearFault(ctx, f.ID)
package controlclient
