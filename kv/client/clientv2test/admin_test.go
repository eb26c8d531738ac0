package clientv2test

import (
	"slices"
	"testing"

	"go.etcd.io/etcd/client/v2"
)

func TestMembers(t *testing.T) {
	onBoth(t, func(t *testing.T, s server, c client.Client) {
		ctx, members := within(t), client.NewMembersAPI(c)
		if err := c.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if got := c.Endpoints(); !slices.Equal(got, []string{s.url}) {
			t.Errorf("endpoints after a sync: %q, want %s", got, s.url)
		}
		leader, err := members.Leader(ctx)
		if err != nil || leader.Name != "default" || !slices.Equal(leader.PeerURLs, []string{s.peer}) {
			t.Fatalf("leader %+v, %v; want the only member", leader, err)
		}
		_, err = members.Add(ctx, s.peer)
		refusal(t, "add a peer URL twice", err, "peerURL exists")
		_, err = members.Add(ctx, "http://127.0.0.1:9/x")
		refusal(t, "add a URL with a path", err, "URL must not contain a path")
		// The original answers a moment before its raft counts a change of members
		// as applied, until when it drops the next. A read that goes through the
		// log comes after that moment.
		pace := func() {
			t.Helper()
			if _, err := client.NewKeysAPI(c).Get(ctx, "/", &client.GetOptions{Quorum: true}); err != nil {
				t.Error(err)
			}
		}
		refusal(t, "remove one who is not there", members.Remove(ctx, "abc"), "unexpected status code 404")
		pace()
		refusal(t, "update one who is not there", members.Update(ctx, "abc", []string{"http://127.0.0.1:9"}), "No such member: abc")
		pace()
		if err := members.Update(ctx, leader.ID, []string{s.peer, "http://127.0.0.1:9"}); err != nil {
			t.Error(err)
		}
		pace()
		list, err := members.List(ctx)
		if err != nil || len(list) != 1 || len(list[0].PeerURLs) != 2 {
			t.Errorf("members %+v, %v; want one with two URLs", list, err)
		}
		if err := members.Update(ctx, leader.ID, []string{s.peer}); err != nil {
			t.Error(err)
		}
		pace()
		// Last, for the original then has no quorum.
		added, err := members.Add(ctx, "http://127.0.0.1:9")
		if err != nil || added.ID == "" || added.Name != "" {
			t.Errorf("added %+v, %v; want one with an id and no name", added, err)
		}
		if list, err = members.List(ctx); err != nil || len(list) != 2 {
			t.Errorf("members %+v, %v; want two", list, err)
		}
	})
}

func TestUsersAndRoles(t *testing.T) {
	onBoth(t, func(t *testing.T, s server, c client.Client) {
		ctx := within(t)
		users, roles, auth := client.NewAuthUserAPI(c), client.NewAuthRoleAPI(c), client.NewAuthAPI(c)
		refusal(t, "enable without root", auth.Enable(ctx), "No root user available")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(users.AddUser(ctx, "root", "secret"))
		must(users.AddUser(ctx, "al", "pw"))
		must(roles.AddRole(ctx, "reader"))
		refusal(t, "add a role twice", roles.AddRole(ctx, "reader"), "auth: Role reader already exists.")
		r, err := roles.GrantRoleKV(ctx, "reader", []string{"/a/*", "/b"}, client.ReadPermission)
		if err != nil || !slices.Equal(r.Permissions.KV.Read, []string{"/a/*", "/b"}) || len(r.Permissions.KV.Write) != 0 {
			t.Errorf("grant: %+v, %v", r, err)
		}
		if r, err = roles.RevokeRoleKV(ctx, "reader", []string{"/b"}, client.ReadWritePermission); err != nil || !slices.Equal(r.Permissions.KV.Read, []string{"/a/*"}) {
			t.Errorf("revoke: %+v, %v", r, err)
		}
		u, err := users.GrantUser(ctx, "al", []string{"reader"})
		if err != nil || !slices.Equal(u.Roles, []string{"reader"}) {
			t.Errorf("grant to a user: %+v, %v", u, err)
		}
		// The client puts an empty name before those of roles.
		if u, err = users.GetUser(ctx, "al"); err != nil || !slices.Equal(u.Roles, []string{"", "reader"}) {
			t.Errorf("get user: %+v, %v", u, err)
		}
		if _, err = users.ChangePassword(ctx, "al", "newer"); err != nil {
			t.Error(err)
		}
		if list, err := users.ListUsers(ctx); err != nil || !slices.Equal(list, []string{"al", "root"}) {
			t.Errorf("users %q, %v", list, err)
		}
		if list, err := roles.ListRoles(ctx); err != nil || !slices.Equal(list, []string{"reader", "root"}) {
			t.Errorf("roles %q, %v", list, err)
		}
		must(auth.Enable(ctx))

		root := s.client(t, client.Config{Username: "root", Password: "secret"})
		al := client.NewKeysAPI(s.client(t, client.Config{Username: "al", Password: "newer"}))
		must(client.NewAuthRoleAPI(root).RemoveRole(ctx, "guest"))
		_, err = client.NewKeysAPI(root).Set(ctx, "/a/x", "1", nil)
		must(err)
		if got := show(al.Get(ctx, "/a/x", nil)); got != "get /a/x=1" {
			t.Errorf("what may be read: %s", got)
		}
		for name, keys := range map[string]client.KeysAPI{
			"nobody":             client.NewKeysAPI(c),
			"a wrong password":   client.NewKeysAPI(s.client(t, client.Config{Username: "al", Password: "pw"})),
			"a user that is not": client.NewKeysAPI(s.client(t, client.Config{Username: "bob", Password: "pw"})),
		} {
			if _, err := keys.Get(ctx, "/a/x", nil); code(err) != client.ErrorCodeUnauthorized {
				t.Errorf("%s: got %v, want error %d", name, err, client.ErrorCodeUnauthorized)
			}
		}
		if _, err := al.Set(ctx, "/a/x", "2", nil); code(err) != client.ErrorCodeUnauthorized {
			t.Errorf("what may not be written: got %v", err)
		}
		refusal(t, "add a user without a right to", users.AddUser(ctx, "x", "y"), "Insufficient credentials")

		if _, err := client.NewAuthUserAPI(root).RevokeUser(ctx, "al", []string{"reader"}); err != nil {
			t.Error(err)
		}
		must(client.NewAuthUserAPI(root).RemoveUser(ctx, "al"))
		must(client.NewAuthAPI(root).Disable(ctx))
		if got := show(client.NewKeysAPI(c).Get(ctx, "/a/x", nil)); got != "get /a/x=1" {
			t.Errorf("when nobody is asked any more: %s", got)
		}
	})
}
