package durable_test

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore/internal/durable"
)

// What was made is still there after a crash that keeps nothing else.
func ExampleMkdirAll() {
	disk := vfs.NewCrashableMem()
	if err := durable.MkdirAll(disk, "member/log"); err != nil {
		fmt.Println(err)
	}
	after := disk.CrashClone(vfs.CrashCloneCfg{})
	names, err := after.List("member")
	fmt.Println(names, err)
	// Output: [log] <nil>
}
