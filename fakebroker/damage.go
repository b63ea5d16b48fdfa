package fakebroker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkFolder refuses a folder that is somebody else's.
func checkFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	others := ""
	for _, e := range entries {
		switch e.Name() {
		case lockFile:
			return nil
		case "lost+found": // of a file system of its own
		default:
			others = e.Name()
		}
	}
	if others != "" {
		return fmt.Errorf("%s has other files, such as %s, and was not made here; choose an empty folder, or one that is not there", dir, others)
	}
	return nil
}

// checkFiles reports the first file that is damaged. kfake would pass over what it
// cannot read, and overwrite it.
func checkFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil && path != dir && errors.Is(err, fs.ErrPermission) && e.Name() == "lost+found" {
			return fs.SkipDir
		}
		if err != nil || e.IsDir() {
			return err
		}
		return checkFile(path, e.Name())
	})
}

// checkFile reports what is damaged in a file of kfake's.
func checkFile(path, name string) error {
	var sound func([]byte) int // how many bytes are, from the beginning
	switch {
	case strings.HasSuffix(name, ".dat"):
		sound = soundBatches
	case name == "groups.log", name == "pids.log":
		sound = soundEntries
	case strings.HasSuffix(name, ".json"):
		sound = func(b []byte) int {
			if json.Valid(b) {
				return len(b)
			}
			return 0
		}
	default:
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	switch n := sound(b); {
	case n == len(b):
		return nil
	case n == 0:
		return fmt.Errorf("%s is damaged, and none of it can be read; put back a copy of it, or move it away to start without what it has", path)
	default:
		return fmt.Errorf("%s is damaged after %d of its %d bytes; put back a copy of it, or cut it to %d bytes to start with what is before", path, n, len(b), n)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// soundBatches is how many bytes of a log are batches, as the protocol has them.
func soundBatches(b []byte) int {
	const checksum, checked = 17, 21
	at := 0
	for rest := b; len(rest) > 0; rest = b[at:] {
		size, _ := batchAt(rest)
		if size == 0 || binary.BigEndian.Uint32(rest[checksum:]) != crc32.Checksum(rest[checked:size], castagnoli) {
			break
		}
		at += size
	}
	return at
}

// soundEntries is how many bytes of a file are kfake's entries: a length, a
// checksum, and as many bytes.
func soundEntries(b []byte) int {
	const head, least = 8, 2
	at := 0
	for rest := b; len(rest) >= head+least; rest = b[at:] {
		size := int(binary.LittleEndian.Uint32(rest))
		if size < least || size > len(rest)-head || binary.LittleEndian.Uint32(rest[4:]) != crc32.Checksum(rest[head:head+size], castagnoli) {
			break
		}
		at += head + size
	}
	return at
}
