package fakebroker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/correct"
)

// lockFile is in Config.DataDir for as long as the folder is there. Whoever has
// locked it has the folder.
const lockFile = "fakebroker.lock"

// errLocked says that somebody else has a lock.
var errLocked = errors.New("locked")

// takeDataDir makes the folder, and has it for this broker alone: two that write
// to the same files would destroy them.
func (b *Broker) takeDataDir() error {
	dir := b.cfg.DataDir
	if dir == "" {
		return nil
	}
	if err := makeFolder(dir); err != nil {
		return &ConfigError{Field: "DataDir", Err: err}
	}
	if err := checkFolder(dir); err != nil { // before there is a lock file of ours in it
		return &ConfigError{Field: "DataDir", Err: err}
	}
	unlock, err := lock(filepath.Join(dir, lockFile))
	if errors.Is(err, errLocked) {
		return badConfig("DataDir", "%s is in use by another broker; stop that first, or choose another folder", dir)
	}
	if err != nil {
		return &ConfigError{Field: "DataDir", Err: err}
	}
	b.unlock = unlock
	if err := checkFiles(dir); err != nil {
		b.releaseDataDir()
		return &ConfigError{Field: "DataDir", Err: err}
	}
	// kfake keeps users there too, passwords included, and would prefer them to
	// the config's.
	err = os.Remove(filepath.Join(dir, "sasl.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.releaseDataDir()
		return &ConfigError{Field: "DataDir", Err: err}
	}
	return nil
}

// releaseDataDir lets others have the folder.
func (b *Broker) releaseDataDir() {
	if b.unlock != nil {
		b.unlock()
		b.unlock = nil
	}
}

// makeFolder makes a folder, and those that it is in.
func makeFolder(dir string) error {
	const mode = 0o755
	err := os.MkdirAll(dir, mode)
	var at *fs.PathError
	if errors.Is(err, syscall.ENOTDIR) && errors.As(err, &at) {
		return fmt.Errorf("%s is not a folder", at.Path)
	}
	return err
}

// keptTopic holds a topic of the config to the one that DataDir has: it may have
// fewer partitions, never more, as those cannot be taken away.
func (b *Broker) keptTopic(t Topic) error {
	parts, err := b.partitions(t.Name)
	switch n := int32(len(parts)); {
	case err != nil:
		return err
	case t.Partitions == 0 || t.Partitions == n:
		return nil
	case t.Partitions < n:
		return fmt.Errorf("%w: %s has %d partitions in %s, which cannot become %d; ask for %d or more, or leave the number out", ErrTopicExists, t.Name, n, b.cfg.DataDir, t.Partitions, n)
	}
	if err := correct.Grow(context.Background(), corrected{b}, t.Name, t.Partitions); err != nil {
		return fmt.Errorf("adding partitions to topic %s: %w", t.Name, err)
	}
	return nil
}

// noticeIdleACLs logs that the ACLs of DataDir mean nothing, which nobody would
// see otherwise.
func (b *Broker) noticeIdleACLs() error {
	if b.cfg.DataDir == "" || b.cfg.authorizes() {
		return nil
	}
	const version = 3
	req := kmsg.NewPtrDescribeACLsRequest()
	req.Version = version
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := b.ask(context.Background(), 0, own(req))
	if err != nil {
		return err
	}
	answer := resp.(*kmsg.DescribeACLsResponse)
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return fmt.Errorf("looking for ACLs in %s: %w", b.cfg.DataDir, err)
	}
	n := 0
	for _, r := range answer.Resources {
		n += len(r.ACLs)
	}
	if n > 0 {
		b.cfg.Logger.Warn("the folder has ACLs that are not in force: there are neither ACLs nor superusers in the config, so everybody may do everything",
			"folder", b.cfg.DataDir, "acls", n)
	}
	return nil
}
