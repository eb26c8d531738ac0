//go:build linux

package machinelab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Machine is a machine that runs. Methods are safe for concurrent use.
//
// It is held together by one goroutine, which starts systemd-nspawn from a thread
// of its own, in a mount namespace of its own, and waits for its end. If that
// thread dies, with this process, the kernel kills systemd-nspawn, which is the first
// process of a namespace: so the machine, its mounts and all its processes go, too.
// Its control groups are its own, within those of this process.
type Machine struct {
	name   string
	dir    string // of the overlay's upper and work directories
	groups cgroups
	leader int // the machine's first process, as seen from here; set by boot
	nspawn *os.Process
	ended  chan struct{} // closed when nspawn has ended; nil before it started
	err    error         // how; set before ended is closed
	output lockedBuffer
	close  sync.Once
}

// Config says what to boot. The zero value is a machine like this one, without
// its services.
type Config struct {
	// Name is the host's name, "machine" by default.
	Name string
	// Files are put into the machine before it boots, by absolute path.
	Files map[string]File
	// Programs are files of this machine to be seen in the other one, by their
	// absolute paths there.
	Programs map[string]string
	// Devices are device nodes of this machine that the other one may use, too, by
	// their absolute paths there.
	Devices map[string]string
	// Cmdline is added to what the machine takes for its kernel's command line.
	Cmdline []string
}

// File is a file of a machine.
type File struct {
	Content string
	// Mode holds permission bits; 0 is 0644.
	Mode os.FileMode
}

// Errors that say what this machine lacks; a test skips then.
var (
	ErrNotRoot = errors.New("machinelab: booting machines needs root")
	ErrNoTools = errors.New("machinelab: booting machines needs systemd-nspawn, dbus-daemon, nsenter and mount")
)

// Available returns why no machine can be booted here, or nil.
func Available() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	for _, program := range []string{"systemd-nspawn", "dbus-daemon", "nsenter", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return ErrNoTools
		}
	}
	return nil
}

// Boot boots a machine and returns when its systemd has started everything. The
// context bounds the boot only.
func Boot(ctx context.Context, c Config) (*Machine, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	if c.Name == "" {
		c.Name = "machine"
	}
	dir, err := os.MkdirTemp("", "strake-machine-")
	if err != nil {
		return nil, err
	}
	m := &Machine{name: c.Name, dir: dir}
	if err := m.boot(ctx, c); err != nil {
		err = fmt.Errorf("machinelab: boot %s: %w", c.Name, err)
		if out := m.output.String(); out != "" {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Machine) boot(ctx context.Context, c Config) error {
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(m.dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := m.prepare(c); err != nil {
		return err
	}
	var err error
	if m.groups, err = makeCgroups(filepath.Base(m.dir)); err != nil {
		return err
	}
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(m.dir, "notify"), Net: "unixgram"})
	if err != nil {
		return err
	}
	defer ready.Close()
	if err := m.start(c); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	go func() { // ends with the machine
		<-m.ended
		_ = ready.Close()
	}()
	return m.await(ctx, ready)
}

// await reads what systemd-nspawn tells, until the machine has booted.
func (m *Machine) await(ctx context.Context, ready *net.UnixConn) error {
	message := make([]byte, 4096)
	for {
		n, err := ready.Read(message)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			<-m.ended
			return fmt.Errorf("it ended: %w", m.err)
		}
		for line := range strings.Lines(string(message[:n])) {
			line = strings.TrimSpace(line)
			if line == "READY=1" {
				return m.findLeader()
			}
		}
	}
}

// findLeader finds the machine's first process, systemd-nspawn's only child.
func (m *Machine) findLeader() error {
	pid := strconv.Itoa(m.nspawn.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	if err != nil {
		return err
	}
	m.leader, err = strconv.Atoi(strings.TrimSpace(string(children)))
	return err
}

// prepare puts files into the upper layer, where the machine will see them in
// place of this machine's.
func (m *Machine) prepare(c Config) error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	files := map[string]File{
		"/etc/machine-id": {Content: hex.EncodeToString(id) + "\n"},
		"/etc/hostname":   {Content: c.Name + "\n"},
		"/etc/fstab":      {},
		// What machines boot to: nothing but the journal, D-Bus and who needs them.
		"/etc/systemd/system/lab.target": {Content: "[Unit]\nDescription=Machine of a lab\n" +
			"Requires=basic.target dbus.socket\nAfter=basic.target dbus.socket\nAllowIsolate=yes\n"},
	}
	for path, file := range c.Files {
		files[path] = file
	}
	for path, file := range files {
		at := filepath.Join(m.dir, "upper", path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if file.Mode == 0 {
			file.Mode = 0o644
		}
		if err := os.WriteFile(at, []byte(file.Content), file.Mode); err != nil {
			return err
		}
	}
	for _, unit := range masked {
		if err := os.Symlink("/dev/null", filepath.Join(m.dir, "upper/etc/systemd/system", unit)); err != nil {
			return err
		}
	}
	return nil
}

// masked are units that a machine on this kernel has no use for.
var masked = []string{
	"systemd-resolved.service", "systemd-timesyncd.service", "systemd-logind.service", "systemd-udevd.service",
	"systemd-udev-trigger.service", "systemd-update-utmp.service", "systemd-pcrphase.service", "systemd-firstboot.service",
	"apparmor.service", "getty.target", "remote-fs.target", "timers.target", "e2scrub_reap.service",
	"networking.service", "systemd-networkd-wait-online.service", "dpkg-db-backup.timer",
}

// start starts systemd-nspawn and the goroutine that waits for its end.
func (m *Machine) start(c Config) error {
	// Everything is mounted in a mount namespace and runs in a process namespace
	// that end with the shell, which becomes systemd-nspawn. What that keeps by the
	// names of machines it keeps for itself, as others may have one of the same name.
	const script = `set -e
dir=$1; shift
while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs"; shift; done; shift
mount -t proc proc /proc
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
exec systemd-nspawn "$@"`
	args := append([]string{"-c", script, "sh", m.dir}, m.groups...)
	args = append(args, "--",
		"--directory="+filepath.Join(m.dir, "root"), "--machine="+m.name, "--register=no", "--keep-unit",
		"--private-network", "--notify-ready=yes", "--console=pipe", "--resolv-conf=off", "--timezone=off",
	)
	for there, here := range c.Programs {
		args = append(args, "--bind-ro="+here+":"+there)
	}
	for there, here := range c.Devices {
		args = append(args, "--bind="+here+":"+there)
	}
	args = append(args, "--boot", "systemd.unit=lab.target", "systemd.show_status=no", "quiet")
	args = append(args, c.Cmdline...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(m.dir, "notify"), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0")
	cmd.Stdout, cmd.Stderr = &m.output, &m.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Setsid: true}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // see Machine; never unlocked, so that the thread ends with this
		err := cmd.Start()
		started <- err
		if err == nil {
			m.err = cmd.Wait()
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	m.nspawn, m.ended = cmd.Process, ended
	return nil
}

// Close ends the machine, at once, and removes what it has written.
func (m *Machine) Close() {
	m.close.Do(func() {
		if m.ended != nil {
			_ = m.nspawn.Kill()
			<-m.ended
		}
		_ = m.groups.remove()
		_ = os.RemoveAll(m.dir)
	})
}

// Run runs a program in the machine, with text as its input, and returns what it
// wrote to its output. The error says what it wrote to the other one.
func (m *Machine) Run(ctx context.Context, stdin, program string, args ...string) (string, error) {
	argv := append([]string{"--target", strconv.Itoa(m.leader), "--all", "--", program}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", argv...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %s %s: %w: %s", m.name, program, strings.Join(args, " "), err, bytes.TrimSpace(errors.Bytes()))
	}
	return out.String(), nil
}

// lockedBuffer is a buffer that a process writes while others read.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
