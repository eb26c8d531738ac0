package member_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
)

func TestParseClusterGathersURLsByName(t *testing.T) {
	got, err := member.ParseCluster("n1=http://a:1,n2=http://b:1, n1=https://a:2")
	want := []raftstore.InitialMember{
		{Name: "n1", URLs: []string{"http://a:1", "https://a:2"}},
		{Name: "n2", URLs: []string{"http://b:1"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestParseClusterNamesWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ list, want string }{
		{"", `initial cluster : "" does not have the form name=url`},
		{"a", `"a" does not have the form name=url`},
		{"=http://a:1", `"=http://a:1" does not have the form name=url`},
		{"a=http://h:1,b=http://h:1", "initial cluster a=http://h:1,b=http://h:1 has duplicate url"},
		{"a=ftp://h:1", "URL scheme must be http, https, unix, or unixs: ftp://h:1"},
		{"a=http://h", `URL address does not have the form "host:port": http://h`},
		{"a=http://h:1/", "URL must not contain a path: http://h:1/"},
	} {
		if got, err := member.ParseCluster(tt.list); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseCluster(%q) = %+v, %v, want %s", tt.list, got, err, tt.want)
		}
	}
}

func FuzzParseCluster(f *testing.F) {
	for _, s := range []string{"a=http://h:1", "a=http://h:1,b=https://[::1]:2", "a", "=,", "a=http://h:1,a=http://h:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ms, err := member.ParseCluster(s)
		if err != nil {
			return
		}
		var parts []string
		for _, m := range ms {
			for _, u := range m.URLs {
				parts = append(parts, m.Name+"="+u)
			}
		}
		again, err := member.ParseCluster(strings.Join(parts, ","))
		if err != nil || !reflect.DeepEqual(again, ms) {
			t.Errorf("%q parses to %+v, which prints as %q and parses to %+v, %v", s, ms, parts, again, err)
		}
	})
}

func TestListenWantsAddresses(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"http://example.com:2380", "expected IP in URL for binding (http://example.com:2380)"},
		{"https://127.0.0.1:0", "https needs a certificate and a key"},
		{"unix://127.0.0.1:0", "only http and https URLs are served"},
		{"127.0.0.1:0", "first path segment in URL cannot contain colon"},
	} {
		if ls, err := member.Listen(t.Context(), []string{"http://127.0.0.1:0", tt.url}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Listen(%s) = %v, %v, want %s", tt.url, ls, err, tt.want)
		}
	}
}
