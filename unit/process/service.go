//go:build linux

package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/strakeproject/strake/unit"
)

// service is what the runner makes of a .service file. It is immutable.
type service struct {
	name    unit.Name
	oneshot bool // else simple
	remain  bool // RemainAfterExit=

	startPre, start, startPost, stop, stopPost []command

	restart                    string // Restart=
	restartDelay               time.Duration
	success, noRestart, always exitSet // SuccessExitStatus=, RestartPrevent..., RestartForce...
	limitInterval              time.Duration
	limitBurst                 int // starts in limitInterval; 0: no limit

	startTimeout, stopTimeout time.Duration // infinite: none
	killMode                  string
	killSignal                syscall.Signal
	sendKill, sendHUP         bool

	env        []string // Environment=
	envFiles   []optionalPath
	dir        optionalPath // WorkingDirectory=; "~" is the home directory
	user       string       // User=
	group      string       // Group=
	identifier string       // SyslogIdentifier=

	ignored []string // settings without effect here
}

// optionalPath is a path that may be missing without harm if it had a "-".
type optionalPath struct {
	path     string
	optional bool
}

// Values of Restart= and KillMode=.
var (
	restarts  = []string{"no", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog", "always"}
	killModes = []string{"control-group", "process", "mixed", "none"}
)

// silent are settings of [Service] that are fine to have no effect here: they
// concern what the runner never does.
var silent = []string{"ExecReload", "StandardOutput", "StandardError", "SyslogFacility", "SyslogLevel", "GuessMainPID", "NotifyAccess"}

// parseService reads the settings of a service. It refuses a file that would
// not run as it is meant, with one line that names the setting.
func parseService(name string, f *unit.File, h host) (*service, error) {
	n := unit.Name(name)
	if n.Suffix() != ".service" {
		return nil, fmt.Errorf("units of type %q need systemd", strings.TrimPrefix(n.Suffix(), "."))
	}
	if n.IsTemplate() {
		return nil, errors.New("a template cannot run, only its instances")
	}
	r := settings{file: f, section: "Service", expand: func(s string) string { return h.expand(n, s) }, read: map[string]bool{}}
	s := r.service(n)
	if r.err != nil {
		return nil, r.err
	}
	s.ignored = r.ignored()
	return s, s.check()
}

func (r *settings) service(n unit.Name) *service {
	s := &service{
		name:          n,
		remain:        r.boolean("RemainAfterExit", false),
		startPre:      r.commands("ExecStartPre"),
		start:         r.commands("ExecStart"),
		startPost:     r.commands("ExecStartPost"),
		stop:          r.commands("ExecStop"),
		stopPost:      r.commands("ExecStopPost"),
		restart:       r.choice("Restart", restarts...),
		restartDelay:  r.span("RestartSec", 100*time.Millisecond),
		success:       r.exits("SuccessExitStatus"),
		noRestart:     r.exits("RestartPreventExitStatus"),
		always:        r.exits("RestartForceExitStatus"),
		limitInterval: 10 * time.Second,
		limitBurst:    5,
		killMode:      r.choice("KillMode", killModes...),
		killSignal:    r.signal("KillSignal", syscall.SIGTERM),
		sendKill:      r.boolean("SendSIGKILL", true),
		sendHUP:       r.boolean("SendSIGHUP", false),
		env:           r.words("Environment"),
		envFiles:      r.paths("EnvironmentFile"),
		user:          r.text("User"),
		group:         r.text("Group"),
		identifier:    r.text("SyslogIdentifier"),
	}
	switch r.choice("Type", "simple", "exec", "idle", "oneshot", "forking", "notify", "notify-reload", "dbus") {
	case "oneshot":
		s.oneshot = true
	case "forking", "notify", "notify-reload", "dbus":
		r.refuse("Type", errors.New("only simple, exec, idle and oneshot run without systemd"))
	}
	r.limits(s)
	r.timeouts(s)
	s.dir = optionalPath{path: "/"}
	if dirs := r.paths("WorkingDirectory"); len(dirs) > 0 {
		s.dir = dirs[len(dirs)-1]
	}
	return s
}

// timeouts reads the settings where 0 means never.
func (r *settings) timeouts(s *service) {
	never := func(d time.Duration) time.Duration {
		if d == 0 {
			return infinite
		}
		return d
	}
	start, stop := 90*time.Second, 90*time.Second
	if s.oneshot {
		start = infinite
	}
	start, stop = r.span("TimeoutSec", start), r.span("TimeoutSec", stop)
	s.startTimeout = never(r.span("TimeoutStartSec", start))
	s.stopTimeout = never(r.span("TimeoutStopSec", stop))
}

// check refuses settings that do not go together.
func (s *service) check() error {
	switch {
	case len(s.start) == 0 && !(s.oneshot && s.remain && len(s.stop) > 0):
		return errors.New("[Service] ExecStart: missing; only Type=oneshot with RemainAfterExit=yes and ExecStop can do without")
	case len(s.start) > 1 && !s.oneshot:
		return errors.New("[Service] ExecStart: more than one; only Type=oneshot can have that")
	case s.oneshot && (s.restart == "always" || s.restart == "on-success"):
		return fmt.Errorf("[Service] Restart: %q would run a Type=oneshot unit for ever", s.restart)
	}
	return checkIdentity(s.user, s.group)
}

// settings reads values of one section and keeps the first error.
type settings struct {
	file    *unit.File
	section string
	expand  func(string) string
	read    map[string]bool // names that were asked for
	err     error
}

func (r *settings) refuse(name string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("[%s] %s: %w", r.section, name, err)
	}
}

func (r *settings) values(name string) []string {
	r.read[name] = true
	return r.file.Values(r.section, name)
}

func (r *settings) value(name string) string {
	r.read[name] = true
	return r.file.Value(r.section, name)
}

// limits reads the start limit, which moved from [Service] to [Unit] and changed
// its name over time.
func (r *settings) limits(s *service) {
	for _, section := range []string{"Service", "Unit"} {
		r.section = section
		for _, name := range []string{"StartLimitInterval", "StartLimitIntervalSec"} {
			s.limitInterval = r.span(name, s.limitInterval)
		}
		s.limitBurst = r.number("StartLimitBurst", s.limitBurst)
	}
	r.section = "Service"
}

func (r *settings) text(name string) string { return r.expand(r.value(name)) }

func (r *settings) commands(name string) []command {
	var list []command
	for _, v := range r.values(name) {
		c, err := parseCommands(v, r.expand)
		if err != nil {
			r.refuse(name, err)
		}
		list = append(list, c...)
	}
	return list
}

func (r *settings) words(name string) []string {
	var list []string
	for _, v := range r.values(name) {
		w, err := words(v)
		if err != nil {
			r.refuse(name, err)
		}
		for _, word := range w {
			list = append(list, r.expand(word))
		}
	}
	return list
}

func (r *settings) paths(name string) []optionalPath {
	var list []optionalPath
	for _, v := range r.values(name) {
		path, optional := strings.CutPrefix(v, "-")
		path = r.expand(path)
		if !filepath.IsAbs(path) && !(name == "WorkingDirectory" && path == "~") {
			r.refuse(name, fmt.Errorf("%q is no absolute path", path))
		}
		list = append(list, optionalPath{path, optional})
	}
	return list
}

func (r *settings) exits(name string) exitSet {
	var set exitSet
	for _, v := range r.values(name) {
		if err := set.add(v); err != nil {
			r.refuse(name, err)
		}
	}
	return set
}

// choice is one of the options; the first is the default.
func (r *settings) choice(name string, options ...string) string {
	v := r.value(name)
	if v == "" {
		return options[0]
	}
	if !slices.Contains(options, v) {
		r.refuse(name, fmt.Errorf("%q is none of %s", v, strings.Join(options, ", ")))
	}
	return v
}

func (r *settings) boolean(name string, otherwise bool) bool {
	switch v := strings.ToLower(r.value(name)); v {
	case "":
		return otherwise
	case "1", "yes", "y", "true", "t", "on":
		return true
	case "0", "no", "n", "false", "f", "off":
		return false
	default:
		r.refuse(name, fmt.Errorf("%q is neither yes nor no", v))
		return otherwise
	}
}

func (r *settings) number(name string, otherwise int) int {
	v := r.value(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		r.refuse(name, fmt.Errorf("%q is no number", v))
	}
	return int(n)
}

func (r *settings) span(name string, otherwise time.Duration) time.Duration {
	v := r.value(name)
	if v == "" {
		return otherwise
	}
	d, err := parseSpan(v)
	if err != nil {
		r.refuse(name, err)
	}
	return d
}

func (r *settings) signal(name string, otherwise syscall.Signal) syscall.Signal {
	v := r.value(name)
	if v == "" {
		return otherwise
	}
	sig, ok := parseSignal(v)
	if !ok {
		r.refuse(name, fmt.Errorf("%q is no signal", v))
	}
	return sig
}

// ignored lists settings of the file that have no effect here though someone may
// count on them.
func (r *settings) ignored() []string {
	var list []string
	for _, o := range r.file.Options() {
		unread := o.Section == "Service" && !r.read[o.Name] && !slices.Contains(silent, o.Name)
		gate := o.Section == "Unit" && (strings.HasPrefix(o.Name, "Condition") || strings.HasPrefix(o.Name, "Assert"))
		if (unread || gate) && !slices.Contains(list, o.Name) {
			list = append(list, o.Name)
		}
	}
	return list
}
