package cloudconfig

import (
	"fmt"
	"path"
	"strings"
)

// String says what the step does, in one line.
func (s Step) String() string {
	switch s.Op {
	case OpHostname:
		return "Set hostname to " + s.Target
	case OpGroup:
		return fmt.Sprintf("Creating group '%s'", s.Target)
	case OpUser:
		return s.userText()
	case OpPassword:
		return fmt.Sprintf("Setting password of user '%s'", s.Target)
	case OpKeys:
		return s.keysText()
	case OpWrite:
		return s.writeText()
	case OpLink:
		if s.Link == "/dev/null" {
			return fmt.Sprintf("Masking unit file %q", s.Unit)
		}
		return fmt.Sprintf("Linking %q to %q", s.Target, s.Link)
	case OpRemove:
		if s.Old != nil && s.Old.Link == "/dev/null" {
			return fmt.Sprintf("Unmasking unit file %q", s.Unit)
		}
		return fmt.Sprintf("Removing file %q", s.Target)
	case OpEnable:
		return fmt.Sprintf("Enabling unit file %q", s.Target)
	case OpDisable:
		return fmt.Sprintf("Disabling unit file %q", s.Target)
	case OpReload:
		return "Reloading unit files"
	case OpCommand:
		if s.Target == networkd && s.Unit == "" {
			return "Restarting systemd-networkd"
		}
		return fmt.Sprintf("Calling unit command %q on %q", s.Command, s.Target)
	case OpScript:
		return fmt.Sprintf("Running script %q as unit %q", s.Target, s.Unit)
	}
	return fmt.Sprintf("%s %s", s.Op, s.Target)
}

func (s Step) userText() string {
	switch {
	case len(s.Argv) > 0 && s.Argv[0] == "usermod" && s.made:
		return fmt.Sprintf("Changing user '%s'", s.Target)
	case len(s.Argv) > 0 && s.Argv[0] == "usermod":
		return fmt.Sprintf("Disabling user '%s'", s.Target)
	}
	return fmt.Sprintf("Creating user '%s'", s.Target)
}

func (s Step) keysText() string {
	switch {
	case s.KeysFrom != "":
		return fmt.Sprintf("Authorizing SSH keys from %s for user '%s'", s.KeysFrom, s.Target)
	case len(s.Keys) == 0:
		return fmt.Sprintf("Removing SSH keys %q of user '%s'", s.KeySet, s.Target)
	}
	return fmt.Sprintf("Authorizing %d SSH keys for user '%s'", len(s.Keys), s.Target)
}

func (s Step) writeText() string {
	switch base := path.Base(s.Target); {
	case s.Unit == "" || s.Target == flannelOptions:
		return fmt.Sprintf("Writing file to %q", s.Target)
	case base == s.Unit, s.Target == s.Unit:
		return fmt.Sprintf("Writing unit %q to filesystem", s.Unit)
	default:
		return fmt.Sprintf("Writing drop-in unit %q to filesystem", base)
	}
}

// outcome says what became of the step.
func (s Step) outcome(detail string) string {
	switch {
	case s.Op == OpCommand && s.Target == networkd && s.Unit == "":
		return "Restarted systemd-networkd (" + detail + ")"
	case s.Op == OpCommand:
		return fmt.Sprintf("Result of %q on %q: %s", s.Command, s.Target, detail)
	}
	return s.String() + ": " + detail
}

// String shows the plan for people: notes, steps, and for each file what lines
// change. Contents that not everybody may read are not shown, nor passwords. The
// plan that does nothing is empty text.
func (p *Plan) String() string {
	var b strings.Builder
	for _, note := range p.Notes {
		b.WriteString("# " + note + "\n")
	}
	for _, s := range p.Steps {
		b.WriteString(s.String() + "\n")
		if s.Problem != "" {
			b.WriteString("  cannot be done: " + s.Problem + "\n")
			continue
		}
		for line := range strings.Lines(s.details()) {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}

// details shows what a step changes, each line with its newline.
func (s Step) details() string {
	switch s.Op {
	case OpGroup, OpUser:
		return strings.Join(hidePassword(s.Argv), " ") + "\n"
	case OpKeys:
		var b strings.Builder
		for _, key := range s.Keys {
			b.WriteString("+" + key + "\n")
		}
		return b.String()
	case OpWrite, OpRemove, OpLink:
		return s.diff()
	case OpCommand:
		if s.Changed && s.Command == "start" {
			return "or restart it, if it runs: its configuration changes\n"
		}
	}
	return ""
}

// hidePassword leaves the hash of a password out of a command line, and shows
// empty arguments.
func hidePassword(argv []string) []string {
	shown := make([]string, len(argv))
	for i, arg := range argv {
		switch {
		case i > 0 && argv[i-1] == "--password" && arg != "*":
			arg = "(hash)"
		case arg == "":
			arg = `""`
		}
		shown[i] = arg
	}
	return shown
}

// diff shows a file or link before and after, as diff -u does.
func (s Step) diff() string {
	const none = "/dev/null"
	var b strings.Builder
	from, to := none, none
	var before, after string
	if s.Old != nil {
		from, before = s.Target, s.Old.text()
	}
	if s.Op != OpRemove {
		to = s.Target
		after = "-> " + s.Link + "\n"
	}
	secret := s.Old != nil && s.Old.Link == "" && s.Old.Mode&0o004 == 0
	if s.File != nil {
		after = s.File.Content
		secret = secret || s.File.Mode&0o004 == 0
	}
	owned := s.File != nil && s.File.Owner != ""
	fmt.Fprintf(&b, "--- %s%s\n+++ %s%s\n", from, s.Old.attributes(owned), to, s.File.attributes())
	switch {
	case before == after:
	case secret:
		fmt.Fprintf(&b, "(contents not shown, %d bytes before and %d after)\n", len(before), len(after))
	case !isText(before) || !isText(after):
		fmt.Fprintf(&b, "(binary contents, %d bytes before and %d after)\n", len(before), len(after))
	default:
		unified(&b, before, after)
	}
	return b.String()
}

// text is what a diff shows of what stood there.
func (e *Existing) text() string {
	if e.Link != "" {
		return "-> " + e.Link + "\n"
	}
	return e.Content
}

// attributes of a file before a step, shown behind its name, with its owner if
// that matters.
func (e *Existing) attributes(owned bool) string {
	if e == nil || e.Link != "" {
		return ""
	}
	if owned && e.UID >= 0 {
		return fmt.Sprintf("\t%04o %d:%d", e.Mode, e.UID, e.GID)
	}
	return fmt.Sprintf("\t%04o", e.Mode)
}

// attributes of a file after a step.
func (f *File) attributes() string {
	if f == nil {
		return ""
	}
	if f.Owner != "" {
		return fmt.Sprintf("\t%04o %s", f.Mode, f.Owner)
	}
	return fmt.Sprintf("\t%04o", f.Mode)
}
