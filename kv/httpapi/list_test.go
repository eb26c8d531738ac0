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
	"testing/synctest"
	"time"

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
	for i := range 2000 {
		key := fmt.Sprintf("/flat/%d", i)
		if i%100 == 0 {
			key = fmt.Sprintf("/flat/_%d", i) // not shown
		}
		if _, err := store.Set(t.Context(), key, value, kv.SetOptions{Dir: i%50 == 1}); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("long ", 30_000)
	if _, err := store.Set(t.Context(), "/file", long, kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	flows := httptest.NewServer(httpapi.New(httpapi.Config{Store: store}))
	defer flows.Close()
	whole := httptest.NewServer(httpapi.New(httpapi.Config{Store: struct{ kv.Store }{store}}))
	defer whole.Close()
	for _, path := range []string{
		"/", "/big", "/big/3/", "/big/3/a3/3", "/big/0/a19/50", "/none/x", "/big/3/a3/3/x",
		"/flat", "/flat/1", "/flat/2", "/flat/_0", "/flat/none", "/file",
	} {
		for _, query := range []string{"", "?sorted=true", "?quorum=true", "?recursive=true&quorum=true", "?recursive=true&sorted=true"} {
			target := "/v2/keys" + path + query
			got, want := answerTo(t, flows.URL+target), answerTo(t, whole.URL+target)
			if got != want {
				t.Errorf("%s:\n got %.300q\nwant %.300q", target, got, want)
			}
		}
	}
}

func TestAFileGoesAsAWholeHoweverLarge(t *testing.T) {
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Set(t.Context(), "/file", strings.Repeat("v", 1<<20), kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(httpapi.New(httpapi.Config{Store: store}))
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/v2/keys/file")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ContentLength < 1<<20 {
		t.Errorf("Content-Length %d, want that of the file", resp.ContentLength)
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
	for after, want := range map[int]string{0: "500", 10: "500", 1000: "cut off"} {
		srv := httptest.NewServer(httpapi.New(httpapi.Config{Store: breaks{after: after}}))
		for _, query := range []string{"", "?recursive=true"} {
			got := "cut off"
			resp, err := http.Get(srv.URL + "/v2/keys/" + query)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil {
				got = fmt.Sprint(resp.StatusCode)
			}
			if got != want {
				t.Errorf("a listing %s that breaks after %d nodes is %s, want %s", query, after, got, want)
			}
		}
		srv.Close()
	}
}

// asked is a store that notes how it is asked to list, and has no quorum.
type asked struct {
	kv.Store
	opts kv.GetOptions
}

func (a *asked) List(ctx context.Context, _ string, opts kv.GetOptions, each func(uint64, kv.Node) error) error {
	if a.opts = opts; opts.Quorum {
		<-ctx.Done()
		return ctx.Err()
	}
	return each(1, kv.Node{Key: "/", Dir: true})
}

func TestAListingIsWhatWasAskedForAndWaitsForAQuorumAsLongAsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &asked{}
		api := httpapi.New(httpapi.Config{Store: store, RequestTimeout: 3 * time.Second})
		for _, c := range []struct {
			method, query string
			want          kv.GetOptions
		}{
			{"GET", "", kv.GetOptions{}},
			{"GET", "?recursive=true", kv.GetOptions{Recursive: true}},
			{"GET", "?sorted=true", kv.GetOptions{Sorted: true}},
			{"GET", "?quorum=true", kv.GetOptions{Quorum: true}},
			{"GET", "?quorum=true&recursive=true", kv.GetOptions{Quorum: true, Recursive: true}},
			{"HEAD", "?quorum=true", kv.GetOptions{}},
		} {
			begun := time.Now()
			w := httptest.NewRecorder()
			api.ServeHTTP(w, httptest.NewRequest(c.method, "/v2/keys/"+c.query, nil))
			took := time.Since(begun)
			if store.opts != c.want {
				t.Errorf("%s %s: asked for %+v, want %+v", c.method, c.query, store.opts, c.want)
			}
			switch {
			case !c.want.Quorum && (w.Code != http.StatusOK || took != 0):
				t.Errorf("%s %s: %d after %v, want 200 at once", c.method, c.query, w.Code, took)
			case c.want.Quorum && (w.Code != http.StatusInternalServerError || took != 3*time.Second ||
				!strings.Contains(w.Body.String(), "etcdserver: request timed out")):
				t.Errorf("%s %s: %d %s after %v, want error 300 after 3s", c.method, c.query, w.Code, w.Body, took)
			}
		}
	})
}
