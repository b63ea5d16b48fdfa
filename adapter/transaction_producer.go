package adapter

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// transactionalID is one that nobody else has. A static member keeps its own, so
// that what it left open when it was killed ends when it comes back.
func transactionalID(group, instance string) string {
	own := "instance." + instance
	if instance == "" {
		var random [9]byte
		_, _ = rand.Read(random[:]) // which never fails
		own = "member." + hex.EncodeToString(random[:])
	}
	return group + ".hops." + own
}

// connect makes a producer, and returns when no transaction of one before it is open.
func (t *transactions) connect(ctx context.Context) error {
	a := t.c.a
	newest, err := transactionVersion(ctx, a.cl)
	if err != nil {
		return t.failure(ctx, "look for the version of transactions", err)
	}
	implicit := newest >= 2
	opts, err := a.transactionalOptions(t.id, implicit)
	if err != nil {
		return err
	}
	background, abandon := context.WithCancel(context.Background())
	cl, err := kgo.NewClient(append(opts, kgo.WithContext(background))...)
	if err != nil {
		abandon()
		return &ConfigError{Field: "Config.ClientOptions", Problem: err.Error()}
	}
	t.cl, t.abandon, t.implicit = cl, abandon, implicit
	if _, _, err := cl.ProducerID(ctx); err != nil {
		t.discard()
		return t.failure(ctx, "begin to make transactions", err)
	}
	t.open = false
	return nil
}

const (
	// fencedCommit is the version of TxnOffsetCommit from which on it tells the broker
	// the generation.
	fencedCommit = 3
	// implicitCommit is that from which on the brokers add the group to a transaction by
	// themselves, where they can; else they refuse it. In later ones topics have ids in
	// place of names.
	implicitCommit = 5
)

// transactionalOptions are those of a client that makes transactions. What the user's
// options say of versions holds for it, as far as it can.
func (a *Adapter) transactionalOptions(id string, implicit bool) ([]kgo.Opt, error) {
	opts, err := a.cfg.clientOptions(a.conn)
	if err != nil {
		return nil, err
	}
	commit := int16(implicitCommit)
	if !implicit {
		commit--
	}
	versions := kversion.Tip()
	if users, _ := a.cl.OptValue(kgo.MaxVersions).(*kversion.Versions); users != nil {
		versions = &kversion.Versions{}
		users.EachMaxKeyVersion(versions.SetMaxKeyVersion)
	}
	has, _ := versions.LookupMaxKeyVersion(int16(kmsg.TxnOffsetCommit))
	if has < fencedCommit {
		return nil, &ConfigError{Field: "Config.ClientOptions", Problem: "has a kgo.MaxVersions without TxnOffsetCommit v3, which ExactlyOnceHops needs (Kafka 2.5, KIP-447)"}
	}
	versions.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), min(has, commit))
	own := append(a.producerOptions(),
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(min(a.cfg.PublishTimeout+transactionSlack, maxTransaction)),
	)
	return append(append(own, opts...), kgo.MaxVersions(versions)), nil
}

// canMakeTransactions reports, as an error, why the user's options exclude it.
func (a *Adapter) canMakeTransactions() error {
	opts, err := a.transactionalOptions("any", true)
	if err != nil {
		return err
	}
	if err := kgo.ValidateOpts(opts...); err != nil {
		return &ConfigError{Field: "Config.ClientOptions", Problem: "is not for ExactlyOnceHops: " + err.Error()}
	}
	return nil
}

// transactionVersion is the cluster's transaction.version.
func transactionVersion(ctx context.Context, cl *kgo.Client) (int16, error) {
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, cl)
	if err != nil {
		return 0, err
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel, nil
		}
	}
	return 0, nil
}

// discard ends the producer, whatever it is at.
func (t *transactions) discard() {
	if t.cl == nil {
		return
	}
	t.abandon()
	t.cl.Close()
	t.cl, t.open = nil, true
}

// isProducers reports whether an error is about what a producer or a member has been
// let in with, which another one need not meet.
func isProducers(err error) bool {
	return slices.ContainsFunc([]error{
		kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.UnknownProducerID, kerr.InvalidProducerIDMapping,
		kerr.InvalidTxnState, kerr.TransactionAbortable, kerr.OutOfOrderSequenceNumber, kerr.ConcurrentTransactions,
		kerr.OperationNotAttempted, kerr.UnknownServerError, kerr.OffsetMetadataTooLarge,
		kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch, kerr.RebalanceInProgress,
		kerr.FencedInstanceID, kerr.GroupIDNotFound,
	}, func(is error) bool { return errors.Is(err, is) })
}
