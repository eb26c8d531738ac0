package cloudconfig_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/strakeproject/strake/cloudconfig"
)

func TestADraftSaysTheSameWhicheverIsAskedFirst(t *testing.T) {
	addresses := cloudconfig.Addresses{PrivateIPv4: netip.MustParseAddr("10.0.0.1")}
	for _, text := range []string{
		"",
		"#!/bin/sh\necho $private_ipv4\n",
		"#cloud-config\nhostnam: a\n",
		"#cloud-config\nhostname: a\nwrite_files: [{path: /a, content: a}]\n",
		"#cloud-config\nhostname: h-$private_ipv4\nusers: [{name: a, groups: [b, c]}, {name: d}]\n",
		"#cloud-config\nhostname: [\n",
		"#cloud-config\nhostname: {$private_ipv4: \n",
		"hello\n",
	} {
		read := func(d *cloudconfig.Draft) any {
			data, err := d.Read(addresses)
			return []any{data, err}
		}
		one, other := cloudconfig.NewDraft([]byte(text)), cloudconfig.NewDraft([]byte(text))
		report, data := one.Report(), read(one)
		if first := read(other); !reflect.DeepEqual(first, data) {
			t.Errorf("%q: after the report it holds %v, before it %v", text, data, first)
		}
		if last := other.Report(); !reflect.DeepEqual(last, report) {
			t.Errorf("%q: the report is %v, and %v after it was read", text, report, last)
		}
		if again := read(one); !reflect.DeepEqual(again, data) {
			t.Errorf("%q: read once more it holds %v, want %v", text, again, data)
		}
	}
}
