package migrate_test

import (
	"context"
	"fmt"
	"log"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client/migrate"
	"github.com/strakeproject/strake/kv/tree"
)

// Copy one store into another; any two will do, such as a kv/client of an old
// cluster and one of a new.
func Example() {
	from, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	to, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = to.Close() }()
	ctx := context.Background()
	if _, err := from.Set(ctx, "/services/web", "10.0.0.1", kv.SetOptions{}); err != nil {
		log.Fatal(err)
	}

	for range 2 {
		r, err := migrate.Copy(ctx, from, to, migrate.Config{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Files, "written,", r.Dirs, "directories,", r.Same, "there already")
	}
	// Output:
	// 1 written, 1 directories, 0 there already
	// 0 written, 0 directories, 2 there already
}
