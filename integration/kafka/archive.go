package kafka

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// archive is a file of classes as the virtual machine has them in memory (class
// data sharing). With it a node starts in half the time. It is made when the
// first node that ran without it stops; the virtual machine itself refuses one
// that does not fit.
type archive struct {
	path string
	part string // being made
}

func newArchive(java, jars string) *archive {
	target, err := filepath.EvalSymlinks(java)
	if err != nil {
		return &archive{}
	}
	info, err := os.Stat(target)
	if err != nil {
		return &archive{}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", target, info.Size(), info.ModTime()))
	return &archive{path: fmt.Sprintf("%s-%x.jsa", jars, sum[:4])}
}

// use is how to use the archive, nothing when there is none.
func (a *archive) use() []string {
	if _, err := os.Stat(a.path); a.path == "" || err != nil {
		return nil
	}
	return []string{"-XX:SharedArchiveFile=" + a.path}
}

// make is how to make the archive when the node ends.
func (a *archive) make(n *node) []string {
	if a.path == "" {
		return nil
	}
	a.part = filepath.Join(n.dir, filepath.Base(a.path))
	return []string{"-XX:ArchiveClassesAtExit=" + a.part}
}

// keep puts it where others find it, when it was made and nobody else's is there.
// Without it everything works as well, only slower.
func (a *archive) keep() {
	if a.part == "" || len(a.use()) > 0 {
		return
	}
	if err := os.Rename(a.part, a.path); err == nil {
		return
	}
	// The two are on different file systems.
	data, err := os.ReadFile(a.part)
	if err != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(a.path), filepath.Base(a.path))
	if err != nil {
		return
	}
	_, err = tmp.Write(data)
	if cerr := tmp.Close(); err == nil && cerr == nil {
		err = os.Rename(tmp.Name(), a.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // it may not be there
	}
}
