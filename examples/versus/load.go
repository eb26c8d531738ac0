package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is the load generator, a process of its own so that what it uses does not
// count as the servers'. Its clients write requests and read answers by hand,
// which leaves more of the machine to the servers.
//
//	client goroutine <--keep-alive--> server, one request after the other
type load struct {
	Op       string        `enum:"put,get,quorum,watch" required:"" help:"What to do: put, get, quorum, watch."`
	Addrs    []string      `required:"" help:"Where the members serve clients; connections go round."`
	Clients  int           `default:"64" help:"Connections."`
	Duration time.Duration `default:"2s" help:"For how long."`
	Keys     int           `default:"10000" help:"How many keys are in use."`
	Bytes    int           `default:"256" help:"Size of a value."`

	next atomic.Int64 // key
}

// A result is what a load generator tells, as JSON.
type result struct {
	Ops      int
	Elapsed  time.Duration
	P50, P99 time.Duration
}

// rate returns operations a second.
func (r result) rate() float64 { return float64(r.Ops) / r.Elapsed.Seconds() }

// run generates the load and writes the result.
func (l *load) run(ctx context.Context, out io.Writer) error {
	times := make([][]time.Duration, l.Clients)
	errs := make([]error, l.Clients)
	begin := time.Now()
	end := begin.Add(l.Duration)
	var wg sync.WaitGroup
	for i := range l.Clients {
		wg.Go(func() { times[i], errs[i] = l.client(ctx, i, end) })
	}
	wg.Wait()
	r := result{Elapsed: time.Since(begin)}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	all := slices.Concat(times...)
	if len(all) == 0 {
		return fmt.Errorf("nothing done in %v", l.Duration)
	}
	slices.Sort(all)
	r.Ops, r.P50, r.P99 = len(all), all[len(all)/2], all[len(all)*99/100]
	return json.NewEncoder(out).Encode(r)
}

// client asks until the end and returns how long each answer took.
func (l *load) client(ctx context.Context, i int, end time.Time) ([]time.Duration, error) {
	c, err := dial(ctx, net.Dialer{}, l.Addrs[i%len(l.Addrs)])
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	once := func() (time.Duration, error) { return l.ask(c) }
	if l.Op == "watch" {
		w, err := dial(ctx, net.Dialer{}, l.Addrs[(i+1)%len(l.Addrs)]) // where there is another member
		if err != nil {
			return nil, err
		}
		defer w.Close()
		once = func() (time.Duration, error) { return l.notice(c, w, i) }
	}
	var times []time.Duration
	for time.Now().Before(end) {
		took, err := once()
		if err != nil {
			return nil, fmt.Errorf("%s at %s: %w", l.Op, c.RemoteAddr(), err)
		}
		times = append(times, took)
	}
	return times, nil
}

// ask makes one request about the next key.
func (l *load) ask(c *client) (time.Duration, error) {
	key := l.next.Add(1) * 7919 % int64(l.Keys) // a prime, so that neighbours are not neighbours
	begin := time.Now()
	var err error
	switch l.Op {
	case "put":
		err = c.put(fmt.Sprintf("/v2/keys/bench/%d", key), l.Bytes)
	case "get":
		err = c.get(fmt.Sprintf("/v2/keys/bench/%d", key))
	case "quorum":
		err = c.get(fmt.Sprintf("/v2/keys/bench/%d?quorum=true", key))
	}
	if err == nil {
		err = c.answer()
	}
	return time.Since(begin), err
}

// notice measures from sending a write until a watch has told of it.
func (l *load) notice(writer, watcher *client, i int) (time.Duration, error) {
	path := fmt.Sprintf("/v2/keys/watch/%d", i)
	if err := watcher.get(path + "?wait=true"); err != nil {
		return 0, err
	}
	if err := watcher.head(); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := writer.put(path, l.Bytes); err != nil {
		return 0, err
	}
	if err := watcher.body(); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	return took, writer.answer()
}

// A client is one connection, and what is known of the answer it reads.
type client struct {
	net.Conn
	r       *bufio.Reader
	buf     []byte
	value   string
	length  int // of the body
	chunked bool
}

func dial(ctx context.Context, from net.Dialer, addr string) (*client, error) {
	c, err := from.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{Conn: c, r: bufio.NewReaderSize(c, 16<<10)}, nil
}

func (c *client) get(path string) error {
	c.buf = append(append(append(c.buf[:0], "GET "...), path...), " HTTP/1.1\r\nHost: bench\r\n\r\n"...)
	_, err := c.Write(c.buf)
	return err
}

func (c *client) put(path string, bytes int) error {
	if len(c.value) != bytes {
		c.value = strings.Repeat("v", bytes)
	}
	c.buf = fmt.Appendf(c.buf[:0], "PUT %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: %d\r\n\r\nvalue=%s", path, len("value=")+bytes, c.value)
	_, err := c.Write(c.buf)
	return err
}

// answer reads a whole answer.
func (c *client) answer() error {
	if err := c.head(); err != nil {
		return err
	}
	return c.body()
}

// head reads status and headers; a status other than of success is an error.
func (c *client) head() error {
	c.length, c.chunked = 0, false
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	const version = "HTTP/1.1 "
	if len(line) < len(version)+3 || line[len(version)] != '2' {
		return fmt.Errorf("answer %q", line)
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			return nil
		}
		if n, ok := number(line, "Content-Length: ", 10); ok {
			c.length = n
		}
		c.chunked = c.chunked || string(line) == "Transfer-Encoding: chunked\r\n"
	}
}

// body reads and drops the body.
func (c *client) body() error {
	if !c.chunked {
		_, err := c.r.Discard(c.length)
		return err
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, ok := number(line, "", 16)
		if !ok {
			return fmt.Errorf("chunk begins with %q", line)
		}
		if _, err := c.r.Discard(n + 2); err != nil || n == 0 {
			return err
		}
	}
}

// number reads what follows a prefix up to the end of a line.
func number(line []byte, prefix string, base int) (n int, ok bool) {
	if len(line) < len(prefix)+3 || string(line[:len(prefix)]) != prefix {
		return 0, false
	}
	for _, c := range line[len(prefix) : len(line)-2] {
		digit := strings.IndexByte("0123456789abcdef", c)
		if digit < 0 || digit >= base {
			return 0, false
		}
		n = n*base + digit
	}
	return n, true
}
