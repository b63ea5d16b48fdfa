package controlclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Client asks one broker's control server. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// Option changes how a client connects.
type Option func(*Client)

// Token is the token that the server was started with.
func Token(token string) Option { return func(c *Client) { c.token = token } }

// HTTPClient is used in place of one that waits for as long as the context.
func HTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// New makes a client of the server at a URL such as http://127.0.0.1:9099. It
// does not connect.
func New(base string, opts ...Option) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not a URL such as http://127.0.0.1:9099", base)
	}
	c := &Client{base: strings.TrimSuffix(base, "/"), http: &http.Client{}}
	for _, o := range opts {
		o(c)
	}
	return c, nil
}

// Health is nil when the broker is there.
func (c *Client) Health(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/health", nil, nil)
}

// Version says what is running.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return ask[Version](ctx, c, http.MethodGet, "/version", nil)
}

// Brokers lists the brokers.
func (c *Client) Brokers(ctx context.Context) ([]Broker, error) {
	out, err := ask[struct{ Brokers []Broker }](ctx, c, http.MethodGet, "/brokers", nil)
	return out.Brokers, err
}

// Topics lists the topics, by name.
func (c *Client) Topics(ctx context.Context) ([]Topic, error) {
	out, err := ask[struct{ Topics []Topic }](ctx, c, http.MethodGet, "/topics", nil)
	return out.Topics, err
}

// Topic returns a topic with its partitions.
func (c *Client) Topic(ctx context.Context, name string) (TopicDetails, error) {
	return ask[TopicDetails](ctx, c, http.MethodGet, "/topics/"+url.PathEscape(name), nil)
}

// CreateTopic creates a topic.
func (c *Client) CreateTopic(ctx context.Context, t Topic) error {
	return c.do(ctx, http.MethodPost, "/topics", t, nil)
}

// DeleteTopic deletes a topic with its records.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/topics/"+url.PathEscape(name), nil, nil)
}

// Records reads the records of a topic page by page, sorted by partition and
// offset. An error is the last thing it yields.
func (c *Client) Records(ctx context.Context, topic string, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		q := f.query()
		for {
			var page struct {
				Records []Record
				Next    string
			}
			if err := c.do(ctx, http.MethodGet, "/topics/"+url.PathEscape(topic)+"/records?"+q.Encode(), nil, &page); err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range page.Records {
				if !yield(r, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.Set("cursor", page.Next)
		}
	}
}

func (f Filter) query() url.Values {
	q := make(url.Values)
	for _, p := range f.Partitions {
		q.Add("partition", strconv.Itoa(int(p)))
	}
	number := func(name string, n int64) {
		if n != 0 {
			q.Set(name, strconv.FormatInt(n, 10))
		}
	}
	number("from", f.From)
	number("to", f.To)
	number("limit", int64(f.Limit))
	switch {
	case f.Key == nil:
	case utf8.Valid(f.Key):
		q.Set("key", string(f.Key))
	default:
		q.Set("key_base64", base64.StdEncoding.EncodeToString(f.Key))
	}
	for _, h := range f.Headers {
		q.Add("header", h)
	}
	return q
}

// Produce writes records to a topic, past all faults, and says where they went.
func (c *Client) Produce(ctx context.Context, topic string, records ...NewRecord) ([]Written, error) {
	in := struct {
		Records []NewRecord `json:"records"`
	}{records}
	out, err := ask[struct{ Records []Written }](ctx, c, http.MethodPost, "/topics/"+url.PathEscape(topic)+"/records", in)
	return out.Records, err
}

// Groups lists the groups, by name.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	out, err := ask[struct{ Groups []Group }](ctx, c, http.MethodGet, "/groups", nil)
	return out.Groups, err
}

// Group returns a group.
func (c *Client) Group(ctx context.Context, name string) (Group, error) {
	return ask[Group](ctx, c, http.MethodGet, "/groups/"+url.PathEscape(name), nil)
}

// ResetOffsets moves a group that has no members, and returns it.
func (c *Client) ResetOffsets(ctx context.Context, group string, r Reset) (Group, error) {
	return ask[Group](ctx, c, http.MethodPost, "/groups/"+url.PathEscape(group)+"/reset", r)
}

// Transactions lists the transactional ids.
func (c *Client) Transactions(ctx context.Context) ([]Transaction, error) {
	out, err := ask[struct{ Transactions []Transaction }](ctx, c, http.MethodGet, "/transactions", nil)
	return out.Transactions, err
}

// CreateFault makes something go wrong from now on.
func (c *Client) CreateFault(ctx context.Context, s FaultSpec) (Fault, error) {
	return ask[Fault](ctx, c, http.MethodPost, "/faults", s)
}

// Faults lists the faults that were not cleared, oldest first.
func (c *Client) Faults(ctx context.Context) ([]Fault, error) {
	out, err := ask[struct{ Faults []Fault }](ctx, c, http.MethodGet, "/faults", nil)
	return out.Faults, err
}

// Fault returns a fault, with its hits so far.
func (c *Client) Fault(ctx context.Context, id string) (Fault, error) {
	return ask[Fault](ctx, c, http.MethodGet, "/faults/"+url.PathEscape(id), nil)
}

// ClearFault ends a fault and returns it with all its hits.
func (c *Client) ClearFault(ctx context.Context, id string) (Fault, error) {
	return ask[Fault](ctx, c, http.MethodDelete, "/faults/"+url.PathEscape(id), nil)
}

// ClearFaults ends all faults that were created over HTTP, and returns their
// number.
func (c *Client) ClearFaults(ctx context.Context) (int, error) {
	out, err := ask[struct{ Cleared int }](ctx, c, http.MethodDelete, "/faults", nil)
	return out.Cleared, err
}

// ask is do for requests that are answered with something.
func ask[T any](ctx context.Context, c *Client, method, path string, in any) (out T, err error) {
	err = c.do(ctx, method, path, in, &out)
	return out, err
}

// do sends one request. An error of the server's is a [ProblemError].
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		p := new(ProblemError)
		if json.Unmarshal(b, p) != nil || p.Detail == "" {
			return fmt.Errorf("%s %s: %w: %s", method, path, errors.New(resp.Status), b)
		}
		return fmt.Errorf("%s %s: %w", method, path, p)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
