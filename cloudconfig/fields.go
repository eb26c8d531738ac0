package cloudconfig

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// The keys of a cloud-config: which mapping has which fields.

var (
	validCommand     = regexp.MustCompile(`^(start|stop|restart|reload|try-restart|reload-or-restart|reload-or-try-restart)$`)
	validEncoding    = regexp.MustCompile(`^(base64|b64|gz|gzip|gz\+base64|gzip\+base64|gz\+b64|gzip\+b64)$`)
	validPermissions = regexp.MustCompile(`^0?[0-7]{3,4}$`)
	validStrategy    = regexp.MustCompile(`^(etcd-lock|reboot|off)$`)
)

// importDeprecated is why keys should not be fetched at boot.
const importDeprecated = "trying to fetch from a remote endpoint introduces too many intermittent errors"

func configFields(c *Config) []field {
	return []field{
		{key: "hostname", to: text(&c.Hostname)},
		{key: "ssh_authorized_keys", to: texts(&c.SSHAuthorizedKeys)},
		{key: "users", to: structs(&c.Users, userFields)},
		{key: "write_files", to: fileTexts()},
		{key: "manage_etc_hosts", to: text(&c.ManageEtcHosts), check: checkHosts},
		{key: "coreos", to: section(coreosFields(&c.CoreOS))},
	}
}

func coreosFields(c *CoreOS) []field {
	return []field{
		{key: "etcd", to: etcd.section(&c.Etcd)},
		{key: "etcd2", to: etcd2.section(&c.Etcd2)},
		{key: "fleet", to: fleet.section(&c.Fleet)},
		{key: "flannel", to: flannel.section(&c.Flannel)},
		{key: "locksmith", to: locksmith.section(&c.Locksmith)},
		{key: "update", to: section([]field{
			{key: "reboot_strategy", to: text(&c.Update.RebootStrategy), valid: validStrategy, check: checkStrategy},
			{key: "group", to: text(&c.Update.Group), check: checkOneLine},
			{key: "server", to: text(&c.Update.Server), check: checkOneLine},
		})},
		{key: "oem", to: section([]field{
			{key: "id", to: text(&c.OEM.ID), check: checkOneLine},
			{key: "name", to: text(&c.OEM.Name)},
			{key: "version_id", to: text(&c.OEM.VersionID), check: checkOneLine},
			{key: "home_url", to: text(&c.OEM.HomeURL)},
			{key: "bug_report_url", to: text(&c.OEM.BugReportURL)},
		})},
		{key: "units", to: structs(&c.Units, unitFields)},
	}
}

func userFields(u *User) []field {
	return []field{
		{key: "name", to: text(&u.Name)},
		{key: "passwd", to: text(&u.PasswordHash)},
		{key: "gecos", to: text(&u.GECOS)},
		{key: "homedir", to: text(&u.HomeDir)},
		{key: "no_create_home", to: flag(&u.NoCreateHome)},
		{key: "primary_group", to: text(&u.PrimaryGroup)},
		{key: "groups", to: texts(&u.Groups)},
		{key: "no_user_group", to: flag(&u.NoUserGroup)},
		{key: "system", to: flag(&u.System)},
		{key: "no_log_init", to: flag(&u.NoLogInit)},
		{key: "shell", to: text(&u.Shell)},
		{key: "ssh_authorized_keys", to: texts(&u.SSHAuthorizedKeys)},
		{key: "coreos_ssh_import_github", to: oneOf(&u.SSHImportGithubUsers), deprecated: importDeprecated},
		{key: "coreos_ssh_import_github_users", to: texts(&u.SSHImportGithubUsers), deprecated: importDeprecated},
		{key: "coreos_ssh_import_url", to: text(&u.SSHImportURL), deprecated: importDeprecated},
	}
}

func unitFields(u *Unit) []field {
	return []field{
		{key: "name", to: text(&u.Name)},
		{key: "mask", to: flag(&u.Mask)},
		{key: "enable", to: flag(&u.Enable)},
		{key: "runtime", to: flag(&u.Runtime)},
		{key: "content", to: text(&u.Content)},
		{key: "command", to: text(&u.Command), valid: validCommand, check: checkCommand},
		{key: "drop_ins", to: structs(&u.DropIns, func(i *DropIn) []field {
			return []field{
				{key: "name", to: text(&i.Name)},
				{key: "content", to: text(&i.Content)},
			}
		})},
	}
}

// oneOf appends a single string to a list.
func oneOf(to *[]string) target {
	return target{want: "string", take: func(d *decoder, at place) bool {
		var s string
		ok := text(&s).take(d, at)
		if s != "" {
			*to = append(*to, s)
		}
		return ok
	}}
}

func checkHosts(text string) error {
	if text != "localhost" {
		return fmt.Errorf("invalid option %q (only localhost)", text)
	}
	return nil
}

func checkStrategy(text string) error {
	if !validStrategy.MatchString(text) {
		return fmt.Errorf("invalid value %q (valid options: %q)", text, validStrategy)
	}
	return nil
}

func checkCommand(text string) error {
	if !validCommand.MatchString(text) {
		return fmt.Errorf("unsupported systemd command %q", text)
	}
	return nil
}

// checkOneLine guards files of one assignment a line.
func checkOneLine(text string) error {
	if strings.ContainsAny(text, "\r\n\x00") {
		return errors.New("the value must be one line")
	}
	return nil
}

// discoveryOK reports whether text is an absolute URI or an absolute path.
func discoveryOK(text string) bool {
	_, err := url.ParseRequestURI(text)
	return err == nil
}
