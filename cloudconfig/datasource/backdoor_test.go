package datasource

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// fakeHypervisor is the other side of the messages, with one channel at a time.
type fakeHypervisor struct {
	values   map[string]string
	closed   bool   // refuses every channel
	saved    int    // breaks off as many messages as this
	announce uint32 // in place of the reply's size, if not 0

	open    bool
	size    int // of the request
	request []byte
	reply   []byte
}

const (
	fakeChannel = 7
	fakeSI      = 0xabcd
	fakeDI      = 0x1234
)

func (h *fakeHypervisor) in(r *registers) error {
	step := r.cx >> 16
	end := func(status uint32) { r.cx = status<<16 | messageOp }
	if r.ax != backdoorMagic || r.dx&0xffff != backdoorPort || r.cx&0xffff != messageOp {
		return errors.New("not a call of the message protocol")
	}
	if step == stepOpen {
		if h.closed || h.open || r.bx != rpciProtocol|useCookies {
			end(0)
			return nil
		}
		h.open, h.request, h.size = true, nil, 0
		r.dx, r.si, r.di = fakeChannel<<16|backdoorPort, fakeSI, fakeDI
		end(statusSuccess)
		return nil
	}
	if !h.open || r.dx>>16 != fakeChannel || r.si != fakeSI || r.di != fakeDI {
		end(0)
		return nil
	}
	switch step {
	case stepSendSize:
		h.size = int(r.bx)
	case stepSendPayload:
		if h.saved > 0 {
			h.saved--
			end(statusCheckpoint)
			return nil
		}
		h.request = binary.LittleEndian.AppendUint32(h.request, r.bx)
		if len(h.request) >= h.size {
			h.answer(string(h.request[:h.size]))
		}
	case stepRecvSize:
		r.bx, r.dx = uint32(len(h.reply)), stepSendSize<<16|backdoorPort
		if h.announce != 0 {
			r.bx = h.announce
		}
		end(statusSuccess | statusDoRecv)
		return nil
	case stepRecvPayload:
		var word [4]byte
		h.reply = h.reply[copy(word[:], h.reply):]
		r.bx, r.dx = binary.LittleEndian.Uint32(word[:]), stepSendPayload<<16|backdoorPort
	case stepRecvStatus:
	case stepClose:
		h.open = false
	}
	end(statusSuccess)
	return nil
}

func (h *fakeHypervisor) answer(request string) {
	key, ok := strings.CutPrefix(request, "info-get ")
	value, known := h.values[key]
	switch {
	case !ok:
		h.reply = []byte("0 Unknown command")
	case !known:
		h.reply = []byte("0 No value found")
	default:
		h.reply = []byte("1 " + value)
	}
}

func TestTheHypervisorIsAskedThroughTheBackdoor(t *testing.T) {
	h := &fakeHypervisor{values: map[string]string{"a": "", "b": "x", "guestinfo.hostname": "web1", "large": strings.Repeat("0123456789", 1000)}}
	for key, want := range map[string]string{"a": "", "b": "x", "guestinfo.hostname": "web1", "large": h.values["large"], "none": ""} {
		for saved := range 3 {
			h.saved = saved
			if got, err := (backdoor{h.in}).Get(t.Context(), key); err != nil || got != want {
				t.Errorf("%s, broken off %d times: got %.40q (%v), want %.40q", key, saved, got, err, want)
			}
		}
		if h.open {
			t.Errorf("%s: the channel stays open", key)
		}
	}
}

func TestAHypervisorThatDoesNotFollowTheProtocolIsAnError(t *testing.T) {
	for name, h := range map[string]*fakeHypervisor{
		"breaks off always": {saved: 100},
		"too large":         {announce: 1 << 31},
		"odd reply":         {values: map[string]string{}, announce: 1},
	} {
		if got, err := (backdoor{h.in}).Get(t.Context(), "a"); err == nil || errors.Is(err, errNoBackdoor) || h.open {
			t.Errorf("%s: got %q and error %v, channel open: %v", name, got, err, h.open)
		}
	}
}

func TestWhereThereIsNoBackdoorTheToolsAreAsked(t *testing.T) {
	tools := properties{"a": "of the tools"}
	for name, c := range map[string]struct {
		backdoor GuestInfo
		want     string
	}{
		"none":   {nil, "of the tools"},
		"closed": {backdoor{(&fakeHypervisor{closed: true}).in}, "of the tools"},
		"open":   {backdoor{(&fakeHypervisor{values: map[string]string{"a": "of the hypervisor"}}).in}, "of the hypervisor"},
	} {
		if got, err := (hypervisor{c.backdoor, tools}).Get(context.Background(), "a"); err != nil || got != c.want {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, c.want)
		}
	}
}

// This is what happens on a machine of VMware whose administrator closed the
// backdoor: the processor refuses the instruction.
func TestTheInstructionIsAnErrorOnOtherMachines(t *testing.T) {
	if hasBackdoor() {
		t.Skip("this is a machine of VMware")
	}
	for range 3 {
		if got, err := (backdoor{callHypervisor}).Get(t.Context(), "a"); !errors.Is(err, errNoBackdoor) {
			t.Errorf("got %q and error %v, want errNoBackdoor", got, err)
		}
	}
}

func FuzzBackdoor(f *testing.F) {
	f.Add([]byte{})
	f.Add(binary.LittleEndian.AppendUint32(make([]byte, 20), statusSuccess<<16))
	f.Fuzz(func(t *testing.T, data []byte) {
		ended := errors.New("no more answers")
		answer := func(r *registers) error {
			for _, to := range []*uint32{&r.ax, &r.bx, &r.cx, &r.dx, &r.si, &r.di} {
				if len(data) < 4 {
					return ended
				}
				*to, data = binary.LittleEndian.Uint32(data), data[4:]
			}
			return nil
		}
		if got, err := (backdoor{answer}).Get(t.Context(), "a"); err != nil && got != "" {
			t.Errorf("got %q with error %v", got, err)
		}
	})
}
