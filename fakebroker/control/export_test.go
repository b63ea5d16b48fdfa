package control

import "time"

// SetGrace says how long Close lets requests end, before it is called.
func SetGrace(s *Server, d time.Duration) { s.grace = d }

// Routes are what is served, as METHOD PATH.
func Routes() []string {
	var out []string
	for _, r := range routes {
		out = append(out, r.method+" "+r.path)
	}
	return out
}
