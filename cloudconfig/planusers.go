package cloudconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// users says what users there shall be, and whose keys let them in.
func (p *planner) users() error {
	keys := &keyring{owners: make(map[string]bool)}
	named := make(map[string]bool)
	for _, u := range p.config.Users {
		if u.Name == "" {
			p.note("User object has no 'name' field, skipping")
			continue
		}
		if fault := userFault(u); fault != "" {
			p.step(Step{Op: OpUser, Target: u.Name, Problem: fault})
			continue
		}
		switch account := p.accounts.users[u.Name]; {
		case account != nil:
			p.changeUser(u, account)
		case !named[u.Name]:
			p.createUser(u)
		}
		named[u.Name] = true
		keys.add(u.Name, p.options.KeySet, u.SSHAuthorizedKeys...)
		for _, name := range u.SSHImportGithubUsers {
			keys.fetch(u.Name, "github-"+name, "https://api.github.com/users/"+name+"/keys")
		}
		if u.SSHImportURL != "" {
			keys.fetch(u.Name, "coreos-cloudinit-"+u.Name, u.SSHImportURL)
		}
	}
	keys.add("core", p.options.KeySet, p.config.SSHAuthorizedKeys...)
	if err := p.authorize(keys); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.before.Users)) {
		if p.options.Keep {
			break
		}
		switch account := p.accounts.users[name]; {
		case named[name]:
		case account == nil:
			delete(p.plan.state.Users, name)
		case !p.before.Users[name].Disabled:
			p.step(Step{Op: OpUser, Target: name, Argv: []string{"usermod", "--lock", "--expiredate", "1", "--", name}})
		}
	}
	return nil
}

// userFault refuses what would break the files that users stand in.
func userFault(u User) string {
	if strings.ContainsAny(u.Name, ":,/ \t\r\n\x00") {
		return "the name is not one of a user"
	}
	if strings.ContainsAny(u.PasswordHash, ":\r\n\x00") {
		return "the password is not a hash"
	}
	return ""
}

// createUser adds a user, and first the groups that are not there.
func (p *planner) createUser(u User) {
	p.createGroups(u)
	args := []string{"useradd", "--password", "*"}
	if u.PasswordHash != "" {
		args[2] = u.PasswordHash
	}
	add := func(given bool, words ...string) {
		if given {
			args = append(args, words...)
		}
	}
	add(u.GECOS != "", "--comment", u.GECOS)
	add(u.HomeDir != "", "--home-dir", u.HomeDir)
	add(u.NoCreateHome, "--no-create-home")
	add(!u.NoCreateHome, "--create-home")
	add(u.PrimaryGroup != "", "--gid", u.PrimaryGroup)
	add(len(u.Groups) > 0, "--groups", strings.Join(u.Groups, ","))
	add(u.NoUserGroup, "--no-user-group")
	add(u.System, "--system")
	add(u.NoLogInit, "--no-log-init")
	add(u.Shell != "", "--shell", u.Shell)
	p.step(Step{Op: OpUser, Target: u.Name, Argv: append(args, "--", u.Name), made: true})
}

// createGroups adds the groups of a user that are not there yet.
func (p *planner) createGroups(u User) {
	for _, name := range append(slices.Clone(u.Groups), u.PrimaryGroup) {
		if _, ok := p.groups[name]; ok || name == "" {
			continue
		}
		if _, err := number(name); err == nil {
			continue
		}
		p.groups[name] = -1
		p.step(Step{Op: OpGroup, Target: name, Argv: []string{"groupadd", "--system", "--", name}})
	}
}

// changeUser gives a user that exists what the Config says. Only users that an
// earlier run has created get more than a password.
func (p *planner) changeUser(u User, now *account) {
	was, ours := p.before.Users[u.Name]
	if ours {
		if args := p.userChanges(u, now, was); len(args) > 0 {
			p.createGroups(u)
			p.step(Step{Op: OpUser, Target: u.Name, Argv: append(append([]string{"usermod"}, args...), "--", u.Name), made: true})
		}
	}
	if u.PasswordHash != "" && (now.hashIsUnreadable || now.hash != u.PasswordHash) {
		p.step(Step{Op: OpPassword, Target: u.Name, Argv: []string{"chpasswd", "-e"}, Stdin: u.Name + ":" + u.PasswordHash + "\n"})
		now.hash, now.hashIsUnreadable = u.PasswordHash, false
	}
}

// userChanges returns usermod's arguments for what of a user is not as wanted.
func (p *planner) userChanges(u User, now *account, was userState) []string {
	var args []string
	if was.Disabled {
		args = append(args, "--expiredate", "")
		if u.PasswordHash == "" {
			args = append(args, "--password", "*")
		}
	}
	for _, f := range []struct{ flag, want, now string }{
		{"--comment", u.GECOS, now.gecos},
		{"--home", u.HomeDir, now.home},
		{"--gid", u.PrimaryGroup, now.group},
		{"--shell", u.Shell, now.shell},
	} {
		if f.want != "" && f.want != f.now {
			args = append(args, f.flag, f.want)
		}
	}
	wanted := slices.Compact(slices.Sorted(slices.Values(u.Groups)))
	if has := slices.Compact(slices.Sorted(slices.Values(now.others))); !slices.Equal(wanted, has) {
		args = append(args, "--groups", strings.Join(u.Groups, ","))
	}
	return args
}

// keyring is all sets of keys that the Config names, each once.
type keyring struct {
	sets   []keySet
	owners map[string]bool
}

type keySet struct {
	user, name string
	keys       []string
	from       string // URL
}

func (r *keyring) find(user, name string) *keySet {
	r.owners[user] = true
	i := slices.IndexFunc(r.sets, func(s keySet) bool { return s.user == user && s.name == name })
	if i < 0 {
		i = len(r.sets)
		r.sets = append(r.sets, keySet{user: user, name: name})
	}
	return &r.sets[i]
}

// add puts keys into a set, each once, a line each.
func (r *keyring) add(user, name string, keys ...string) {
	for _, key := range keys {
		for line := range strings.Lines(key) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if s := r.find(user, name); !slices.Contains(s.keys, line) {
				s.keys = append(s.keys, line)
			}
		}
	}
}

func (r *keyring) fetch(user, name, url string) { r.find(user, name).from = url }

// authorize adds the steps for sets of keys that differ from the machine's.
func (p *planner) authorize(r *keyring) error {
	wanted := make(map[string][]string)
	for _, s := range r.sets {
		wanted[s.user] = append(wanted[s.user], s.name)
		step := Step{Op: OpKeys, Target: s.user, KeySet: s.name, Keys: s.keys, KeysFrom: s.from}
		if strings.Contains(s.name, "/") || strings.HasPrefix(s.name, ".") {
			step.Problem = fmt.Sprintf("%q cannot name a set of keys", s.name)
		}
		for _, key := range s.keys {
			if !strings.Contains(key, " ") {
				p.note("a key for user %s does not look like one: %.40q", s.user, key)
			}
		}
		if s.from == "" && step.Problem == "" {
			same, err := p.authorized(s)
			if err != nil {
				return fmt.Errorf("look at the keys of user %s: %w", s.user, err)
			}
			if same {
				continue
			}
		}
		p.step(step)
	}
	for _, user := range slices.Sorted(maps.Keys(p.before.Keys)) {
		if p.options.Keep {
			break
		}
		for _, name := range p.before.Keys[user] {
			switch {
			case slices.Contains(wanted[user], name):
			case p.accounts.users[user] == nil:
				p.plan.state.removeKeys(user, name)
			default:
				p.step(Step{Op: OpKeys, Target: user, KeySet: name})
			}
		}
	}
	return nil
}

// authorized reports whether a user that exists is let in by a set already.
func (p *planner) authorized(s keySet) (bool, error) {
	account := p.accounts.users[s.user]
	if account == nil {
		return false, nil
	}
	at, err := p.view.resolve(account.home, true)
	if err != nil {
		return false, err
	}
	home, err := fs.Sub(p.view.root, at)
	if err != nil {
		return false, err
	}
	changes, err := keyFiles(view{home}, s.name, s.keys)
	if errors.Is(err, errKeySetDisabled) {
		p.note("keys %s of user %s stay out: the set is disabled", s.name, s.user)
		return true, nil
	}
	return len(changes) == 0, err
}
