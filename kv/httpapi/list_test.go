package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

func TestAListingThatFlowsIsThatOfAGet(t *testing.T) {
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	value := strings.Repeat("<v>", 30)
	for i := range 3000 {
		key := fmt.Sprintf("/big/%d/a%d/%d", i%7, i%31, i)
		if _, err := store.Set(t.Context(), key, value, kv.SetOptions{Dir: i%50 == 0}); err != nil {
			t.Fatal(err)
		}
	}
	flows := httptest.NewServer(httpapi.New(httpapi.Config{Store: store}))
	defer flows.Close()
	whole := httptest.NewServer(httpapi.New(httpapi.Config{Store: struct{ kv.Store }{store}}))
	defer whole.Close()
	for _, path := range []string{"/", "/big", "/big/3/", "/big/3/a3/3", "/big/0/a19/50", "/none/x"} {
		target := "/v2/keys" + path + "?recursive=true&quorum=true"
		got, want := answerTo(t, flows.URL+target), answerTo(t, whole.URL+target)
		if got != want {
			t.Errorf("%s:\n got %.300q\nwant %.300q", path, got, want)
		}
	}
}

// answerTo returns status, index and body of the answer to a GET.
func answerTo(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d [%s] %s", resp.StatusCode, resp.Header.Get("X-Etcd-Index"), body)
}

// breaks is a store whose lists end early.
type breaks struct {
	kv.Store
	after int
}

func (b breaks) List(_ context.Context, _ string, _ kv.GetOptions, each func(uint64, kv.Node) error) error {
	for i := range b.after {
		n := kv.Node{Key: fmt.Sprintf("/%d", i), Value: strings.Repeat("v", 1000), CreatedIndex: 1, ModifiedIndex: 1}
		if i == 0 {
			n = kv.Node{Key: "/", Dir: true}
		}
		if err := each(1, n); err != nil {
			return err
		}
	}
	return errors.New("the disk is gone")
}

func TestAListingThatBreaksIsNotTakenForAll(t *testing.T) {
	for after, want := range map[int]string{10: "500", 1000: "cut off"} {
		srv := httptest.NewServer(httpapi.New(httpapi.Config{Store: breaks{after: after}}))
		got := "cut off"
		resp, err := http.Get(srv.URL + "/v2/keys/?recursive=true")
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			got = fmt.Sprint(resp.StatusCode)
		}
		if got != want {
			t.Errorf("a listing that breaks after %d nodes is %s, want %s", after, got, want)
		}
		srv.Close()
	}
}
