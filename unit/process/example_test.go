//go:build linux

package process_test

import (
	"context"
	"fmt"

	"github.com/strakeproject/strake/unit"
	"github.com/strakeproject/strake/unit/process"
)

func Example() {
	ctx := context.Background()
	r, err := process.New(process.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close(ctx)

	f, err := unit.Parse([]byte(`
[Service]
Type=oneshot
RemainAfterExit=yes
Environment=WHO=world
ExecStart=/bin/echo hello ${WHO} from %p number %i
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	const name = "greeter@7.service"
	if err := r.Load(ctx, unit.Unit{Name: name, File: f}); err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(ctx, name); err != nil {
		fmt.Println(err)
		return
	}
	for st := range r.Watch(ctx) {
		if st.Active == "active" || st.Active == "failed" {
			fmt.Println(st.Name, st.Active, st.Sub)
			break
		}
	}
	for e, err := range r.Journal(ctx, name, unit.JournalOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %s\n", e.Identifier, e.Message)
	}
	// Output:
	// greeter@7.service active exited
	// echo: hello world from greeter number 7
	// strake: Finished.
}
