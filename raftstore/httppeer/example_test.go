package httppeer_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// length answers with the length of each command.
type length struct{}

func (length) Open(context.Context, string) (raftstore.Position, error) {
	return raftstore.Position{}, nil
}

func (length) Apply(cmds []raftstore.Command, _ raftstore.Position) (results [][]byte, err error) {
	for _, c := range cmds {
		results = append(results, fmt.Append(nil, len(c.Data)))
	}
	return results, nil
}

func (length) Close() error { return nil }

// A Transport is served on the member's peer address and given to its Node.
func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "peer")
	defer os.RemoveAll(dir)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	transport := httppeer.New(httppeer.Config{})
	server := &http.Server{Handler: transport}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	node, err := raftstore.Open(ctx, raftstore.Config{
		Dir: dir, Name: "a",
		Initial:      []raftstore.InitialMember{{Name: "a", URLs: []string{"http://" + listener.Addr().String()}}},
		StateMachine: length{}, Log: log, Transport: transport,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx)
	result, err := node.Propose(ctx, []byte("hello"))
	fmt.Println(string(result), err)
	// Output: 5 <nil>
}

// Members of a cluster with TLS have certificates by the same authority. The
// listener, the Transport and the client that asks a member for its cluster
// share their settings.
func ExampleLoadTLS() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "peer")
	defer os.RemoveAll(dir)
	ca, err := newAuthority("our cluster")
	if err == nil {
		err = ca.write(dir, "a") // for 127.0.0.1, to serve and to dial
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	peers, err := httppeer.LoadTLS(httppeer.TLSConfig{
		CertFile:     filepath.Join(dir, "peer.crt"),
		KeyFile:      filepath.Join(dir, "peer.key"),
		CAFile:       filepath.Join(dir, "ca.crt"),
		AllowedNames: []string{"a", "b", "c"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	transport := httppeer.New(httppeer.Config{TLS: peers})
	server := &http.Server{Handler: transport}
	go func() { _ = server.Serve(tls.NewListener(listener, peers.Server())) }()
	defer server.Close()

	log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	url := "https://" + listener.Addr().String()
	node, err := raftstore.Open(ctx, raftstore.Config{
		Dir: dir, Name: "a",
		Initial:      []raftstore.InitialMember{{Name: "a", URLs: []string{url}}},
		StateMachine: length{}, Log: log, Transport: transport,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx)

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: peers.Client()}}
	defer client.CloseIdleConnections()
	cluster, err := httppeer.Discover(ctx, client, url)
	fmt.Println(len(cluster.Members), cluster.Members[0].Name, err)
	_, err = httppeer.Discover(ctx, nil, url)
	fmt.Println("without certificates:", err != nil)
	fmt.Println("peers:", len(transport.Peers()))
	// Output:
	// 1 a <nil>
	// without certificates: true
	// peers: 0
}
