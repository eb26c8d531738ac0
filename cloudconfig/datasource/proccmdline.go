package datasource

import (
	"cmp"
	"context"
	"strings"
)

// ProcCmdline is user-data at a URL that the kernel's command line names:
// cloud-config-url=URL, of several the last. The path of the command line is
// /proc/cmdline unless another is given. There is no meta-data. Whether the
// document can be had is seen only when it is fetched.
func ProcCmdline(c *Client, path string) Source {
	return procCmdline{c, cmp.Or(path, "/proc/cmdline")}
}

type procCmdline struct {
	client *Client
	path   string
}

func (procCmdline) Type() string { return "proc-cmdline" }

func (p procCmdline) Available(context.Context) error {
	_, err := p.url()
	return err
}

func (p procCmdline) UserData(ctx context.Context) ([]byte, error) {
	url, err := p.url()
	if err != nil {
		return nil, err
	}
	return URL(p.client, url).UserData(ctx)
}

func (procCmdline) Metadata(context.Context) (*Metadata, error) { return &Metadata{}, nil }

func (p procCmdline) url() (string, error) {
	line, err := readFile(p.path, maxMetadata)
	if err != nil {
		return "", never("%w", err)
	}
	url := ""
	for word := range strings.FieldsSeq(string(line)) {
		// The kernel takes a word in quotes, and a value in quotes, as one.
		name, value, _ := strings.Cut(strings.Trim(word, `"`), "=")
		if strings.ReplaceAll(name, "_", "-") == "cloud-config-url" {
			url = cmp.Or(strings.Trim(value, `"`), url)
		}
	}
	if url == "" {
		return "", never("%s: no cloud-config-url", p.path)
	}
	return url, nil
}
