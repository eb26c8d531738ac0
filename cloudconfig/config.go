package cloudconfig

import "io/fs"

// Config is a parsed cloud-config. The zero value asks for nothing.
type Config struct {
	// Hostname is the machine's name; empty leaves it alone.
	Hostname string
	// SSHAuthorizedKeys are keys for the user core.
	SSHAuthorizedKeys []string
	Users             []User
	WriteFiles        []File
	// ManageEtcHosts is "localhost" or empty.
	ManageEtcHosts string
	CoreOS         CoreOS
}

// CoreOS is the section of the services.
type CoreOS struct {
	// Etcd, Etcd2, Fleet, Flannel and Locksmith are the options given to each
	// service, as the environment variables that it reads.
	Etcd, Etcd2, Fleet, Flannel, Locksmith Environment

	Update Update
	OEM    OEM
	Units  []Unit
}

// User is an account to create, or to give keys to if it exists.
type User struct {
	// Name is the login name. An entry without a name is to be skipped.
	Name string
	// PasswordHash is the crypt(3) hash, not the password; empty means none.
	PasswordHash string
	GECOS        string
	HomeDir      string
	PrimaryGroup string
	// Groups must exist; they are given to new users only.
	Groups []string
	Shell  string

	NoCreateHome bool
	NoUserGroup  bool
	NoLogInit    bool
	System       bool

	SSHAuthorizedKeys []string
	// SSHImportGithubUsers are GitHub users whose keys are fetched, those of
	// both keys coreos-ssh-import-github and coreos-ssh-import-github-users.
	SSHImportGithubUsers []string
	// SSHImportURL is where to fetch a JSON list of keys from.
	SSHImportURL string
}

// File is a file to write.
type File struct {
	// Path is absolute and clean, whatever was written: a relative path counts
	// from the root and ".." cannot leave it.
	Path string
	// Content is what the file will hold, byte for byte, already decoded.
	Content string
	// Mode holds permission bits only; Parse sets 0644 where none are given.
	Mode fs.FileMode
	// Owner is "user", "user:group" or numbers as chown(1) takes them; empty
	// means root:root.
	Owner string
}

// Update configures the update engine and the reboot manager.
type Update struct {
	// RebootStrategy is "etcd-lock", "reboot", "off" or empty.
	RebootStrategy string
	Group          string
	Server         string
}

// OEM describes the platform that the machine runs on.
type OEM struct {
	ID           string
	Name         string
	VersionID    string
	HomeURL      string
	BugReportURL string
}

// Unit is a systemd unit to write, enable, mask or act on.
type Unit struct {
	// Name with its suffix. An entry without a name is to be skipped.
	Name string
	// Runtime puts the unit below /run instead of /etc.
	Runtime bool
	// Content is the unit's text; empty means that the unit exists already.
	Content string
	DropIns []DropIn
	Enable  bool
	Mask    bool
	// Command is what to do with the unit after everything is written: start,
	// stop, restart, reload, try-restart, reload-or-restart,
	// reload-or-try-restart or empty.
	Command string
}

// DropIn is a fragment that extends a unit. One without name or content is to
// be skipped.
type DropIn struct {
	Name    string
	Content string
}

// Parse reads a cloud-config. It fails with an [*Error] if data is not a
// cloud-config or not YAML, and if it asks for something that could not be
// carried out; the Config is then nil. Everything else that is wrong is left
// out of the Config and named by [Validate].
func Parse(data []byte) (*Config, error) {
	return decode(data).parsed()
}
