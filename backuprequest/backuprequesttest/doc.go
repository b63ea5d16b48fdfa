// Package backuprequesttest is for tests of what works with backup requests: a
// repository in memory, and the contract that every repository is held to.
//
//	func TestRepository(t *testing.T) {
//		backuprequesttest.TestRepository(t, func(t *testing.T) backuprequesttest.Store {
//			r, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
//			if err != nil {
//				t.Fatal(err)
//			}
//			t.Cleanup(func() { _ = r.Close() })
//			return r
//		})
//	}
package backuprequesttest
