package cloudconfig

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

const (
	flannelOptions  = "/run/flannel/options.env"
	updateConf      = "/etc/coreos/update.conf"
	updateDefaults  = "/usr/share/coreos/update.conf"
	environmentFile = "/etc/environment"
	hostsFile       = "/etc/hosts"
	oemRelease      = "/etc/oem-release"
)

// files says what files there shall be beside those of units.
func (p *planner) files() error {
	for _, f := range p.config.WriteFiles {
		p.want(want{path: f.Path, kind: regular, file: f})
	}
	if p.config.CoreOS.OEM.ID != "" {
		p.want(want{path: oemRelease, kind: regular, file: File{Content: p.config.CoreOS.OEM.text(), Mode: defaultMode}})
	}
	if err := p.updateFile(); err != nil {
		return err
	}
	if p.config.ManageEtcHosts != "" {
		name := cmp.Or(p.config.Hostname, p.hostNow(), "localhost")
		p.want(want{path: hostsFile, kind: regular, file: File{Content: hostsText(name), Mode: defaultMode}})
	}
	for _, f := range p.config.Dropins() {
		if f.Path == flannelOptions {
			p.want(want{path: f.Path, kind: regular, file: f})
		}
	}
	if !p.options.Image {
		for _, script := range p.options.Scripts {
			p.want(want{path: p.scriptFile(script), kind: regular, file: File{Content: string(script), Mode: 0o744}})
		}
	}
	return p.environment()
}

// text is that of /etc/oem-release, always all lines.
func (o OEM) text() string {
	return fmt.Sprintf("ID=%s\nVERSION_ID=%s\nNAME=%s\nHOME_URL=%s\nBUG_REPORT_URL=%s\n",
		o.ID, o.VersionID, strconv.Quote(o.Name), strconv.Quote(o.HomeURL), strconv.Quote(o.BugReportURL))
}

// hostsText lets a machine find itself by its name, and by localhost.
func hostsText(name string) string {
	text := "127.0.0.1 localhost\n::1 localhost\n"
	if name != "localhost" {
		text += "127.0.0.1 " + name + "\n"
	}
	return text
}

// lines are the variables of update.conf, in its order.
func (u Update) lines() Environment {
	var env Environment
	for _, v := range []Variable{{"GROUP", u.Group}, {"REBOOT_STRATEGY", u.RebootStrategy}, {"SERVER", u.Server}} {
		if v.Value != "" {
			env = append(env, v)
		}
	}
	return env
}

// updateFile puts the options of updates into update.conf, beside what else it
// says: what write_files says it shall, or what it said before the first run, or
// else what the system comes with.
func (p *planner) updateFile() error {
	env := p.config.CoreOS.Update.lines()
	if len(env) == 0 {
		return nil
	}
	file := File{Mode: defaultMode}
	if i, ok := p.wants[updateConf]; ok {
		file = p.tree[i].file
	}
	base, err := p.wanted(updateConf)
	was := p.before.Files[updateConf]
	if _, ok := p.wants[updateConf]; !ok && err == nil && was.Made && hashOf(string(base)) == was.SHA256 {
		err = fs.ErrNotExist // an earlier run made it: begin anew, so that old options go
	}
	if errors.Is(err, fs.ErrNotExist) {
		base, err = p.view.read(updateDefaults)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.want(want{path: updateConf, kind: regular, fault: "open " + updateDefaults + ": no such file or directory"})
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", updateConf, err)
	}
	file.Content = setVariables(string(base), env)
	p.want(want{path: updateConf, kind: regular, file: file})
	return nil
}

// environment puts the machine's addresses into /etc/environment, unless
// write_files says what that holds.
func (p *planner) environment() error {
	env := p.options.Addresses.Environment()
	if _, ok := p.wants[environmentFile]; ok || len(env) == 0 {
		return nil
	}
	now, err := p.view.look(environmentFile)
	if err != nil {
		return fmt.Errorf("look at %s: %w", environmentFile, err)
	}
	text, err := p.view.read(environmentFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", environmentFile, err)
	}
	file := File{Content: setVariables(string(text), env), Mode: defaultMode}
	if now.kind == regular {
		file.Mode = now.mode
	}
	if file.Content == string(text) {
		return nil
	}
	p.want(want{path: environmentFile, kind: regular, file: file, keep: true})
	return nil
}

// assignment is a line that sets a variable.
var assignment = regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=`)

// setVariables gives variables their values in a text of one assignment a line.
// Of several lines that set the same, readers take the last: that one is
// replaced and the others go. Missing ones are added at the end. Other lines
// stay; line ends become LF.
func setVariables(text string, env Environment) string {
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	if text == "" {
		lines = nil
	}
	last := make(map[string]int)
	for i, line := range lines {
		if m := assignment.FindStringSubmatch(line); m != nil {
			last[m[1]] = i
		}
	}
	var b strings.Builder
	for i, line := range lines {
		if m := assignment.FindStringSubmatch(line); m != nil {
			if value := env.Lookup(m[1]); value != "" {
				if last[m[1]] != i {
					continue
				}
				line = m[1] + "=" + value
			}
		}
		b.WriteString(line + "\n")
	}
	for _, v := range env {
		if _, ok := last[v.Name]; !ok {
			b.WriteString(v.Name + "=" + v.Value + "\n")
		}
	}
	return b.String()
}
