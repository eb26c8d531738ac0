package seglog_test

import (
	"fmt"
	"os"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/seglog"
)

func Example() {
	dir, _ := os.MkdirTemp("", "log")
	defer os.RemoveAll(dir)
	log, err := seglog.Open(dir, seglog.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	err = log.Append(raftstore.LogGroup{
		Entries: []raftstore.LogEntry{{Index: 1, Term: 1, Data: []byte("hello")}},
		Hard:    &raftstore.HardState{Term: 1},
	}, true) // on disk from here on
	st, _ := log.State()
	fmt.Println(err, "last entry:", st.Last)
	// Output: <nil> last entry: 1
}
