package auth_test

import (
	"context"
	"fmt"
	"log"

	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/tree"
)

// Guard a store: alice may read what is below /app, guests nothing.
func Example() {
	ctx := context.Background()
	store, err := tree.NewLocal()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	a, err := auth.Open(ctx, auth.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()

	for _, u := range []auth.UserChange{
		{Name: "root", Password: "secret"},
		{Name: "alice", Password: "wonder", Roles: []string{"reader"}},
	} {
		if _, _, err := a.PutUser(ctx, u); err != nil {
			log.Fatal(err)
		}
	}
	for name, patterns := range map[string]auth.KeyPatterns{
		"reader":       {Read: []string{"/app/*"}},
		auth.GuestRole: {},
	} {
		role := auth.Role{Name: name, Permissions: auth.Permissions{KV: patterns}}
		if _, err := a.PutRole(ctx, auth.RoleChange{Role: role}); err != nil {
			log.Fatal(err)
		}
	}
	if err := a.Enable(ctx); err != nil {
		log.Fatal(err)
	}

	alice := auth.Credentials{Given: true, Name: "alice", Password: "wonder"}
	fmt.Println("alice reads:", a.CheckKey(ctx, alice, auth.Access{Key: "/app/config"}))
	fmt.Println("alice writes:", a.CheckKey(ctx, alice, auth.Access{Key: "/app/config", Write: true}))
	fmt.Println("a guest reads:", a.CheckKey(ctx, auth.Credentials{}, auth.Access{Key: "/app/config"}))
	// Output:
	// alice reads: <nil>
	// alice writes: insufficient credentials
	// a guest reads: insufficient credentials
}
