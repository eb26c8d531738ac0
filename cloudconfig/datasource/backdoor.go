package datasource

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// A machine of VMware talks to its hypervisor through the registers that an IN
// instruction on a certain port exchanges. A message goes over a channel, four
// bytes at a time:
//
//	open -> channel, two cookies
//	send size, send payload ..., receive size -> size, receive payload -> ...,
//	receive status, close
//
// The numbers are those of VMware's published message protocol, as the drivers in
// Linux have them, too. A hypervisor that has a faster way takes this one as well.
const (
	backdoorMagic = 0x564d5868
	backdoorPort  = 0x5658
	messageOp     = 0x1e
	rpciProtocol  = 0x49435052 // "RPCI"
	useCookies    = 0x80000000

	statusSuccess    = 1
	statusDoRecv     = 2
	statusCheckpoint = 16 // the machine was saved meanwhile: begin anew
)

// The steps of a message.
const (
	stepOpen = iota
	stepSendSize
	stepSendPayload
	stepRecvSize
	stepRecvPayload
	stepRecvStatus
	stepClose
)

// registers are what the instruction exchanges.
type registers struct{ ax, bx, cx, dx, si, di uint32 }

// port carries out the instruction. It fails where the hypervisor does not answer.
type port func(*registers) error

// errNoBackdoor is wrapped by errors that say that the hypervisor cannot be asked
// this way.
var errNoBackdoor = errors.New("the hypervisor does not answer")

// backdoor is the guestinfo by messages over a port.
type backdoor struct{ in port }

// Get implements GuestInfo.
func (b backdoor) Get(ctx context.Context, key string) (string, error) {
	const attempts = 3
	for range attempts {
		reply, again, err := b.ask("info-get " + key)
		if err == nil && !again {
			return guestValue(reply)
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return "", err
		}
	}
	return "", errors.New("the hypervisor broke off each time")
}

// guestValue reads a reply: "1 " and the value, or "0 " and why there is none.
func guestValue(reply string) (string, error) {
	switch {
	case strings.HasPrefix(reply, "1 "):
		return reply[2:], nil
	case strings.HasPrefix(reply, "0 No value found"):
		return "", nil
	}
	return "", fmt.Errorf("the hypervisor says %q", reply)
}

// ask sends a request over a channel of its own and returns the reply; again is
// true if the hypervisor broke off and it has to be sent once more.
func (b backdoor) ask(request string) (reply string, again bool, err error) {
	c := channel{in: b.in}
	r, err := c.step(stepOpen, rpciProtocol|useCookies)
	if err != nil {
		return "", false, err
	}
	if r.status()&statusSuccess == 0 {
		return "", false, errNoBackdoor
	}
	c.id, c.si, c.di = r.dx>>16, r.si, r.di
	defer func() {
		if _, closeErr := c.step(stepClose, 0); err == nil && closeErr != nil {
			err = closeErr
		}
	}()
	if err = c.send(request); err == nil {
		reply, err = c.receive()
	}
	if errors.Is(err, errCheckpoint) {
		return "", true, nil
	}
	return reply, false, err
}

// status is how a step went.
func (r registers) status() uint32 { return r.cx >> 16 }

// errCheckpoint says that the message has to be sent anew.
var errCheckpoint = errors.New("the machine was saved meanwhile")

// channel is an open channel.
type channel struct {
	in         port
	id, si, di uint32
}

// step carries out one step.
func (c *channel) step(step, bx uint32) (registers, error) {
	r := registers{ax: backdoorMagic, bx: bx, cx: step<<16 | messageOp, dx: c.id<<16 | backdoorPort, si: c.si, di: c.di}
	err := c.in(&r)
	return r, err
}

// must carries out a step that has to end with the statuses wanted.
func (c *channel) must(step, bx, want uint32) (registers, error) {
	r, err := c.step(step, bx)
	switch {
	case err != nil:
		return r, err
	case r.status()&statusCheckpoint != 0:
		return r, errCheckpoint
	case r.status()&want != want:
		return r, fmt.Errorf("the hypervisor ends step %d of a message with status %#x", step, r.status())
	}
	return r, nil
}

func (c *channel) send(request string) error {
	if _, err := c.must(stepSendSize, uint32(len(request)), statusSuccess); err != nil {
		return err
	}
	for len(request) > 0 {
		var word [4]byte
		n := copy(word[:], request)
		request = request[n:]
		if _, err := c.must(stepSendPayload, binary.LittleEndian.Uint32(word[:]), statusSuccess); err != nil {
			return err
		}
	}
	return nil
}

func (c *channel) receive() (string, error) {
	r, err := c.must(stepRecvSize, 0, statusSuccess|statusDoRecv)
	if err != nil {
		return "", err
	}
	size := int64(r.bx)
	if r.dx>>16 != stepSendSize || size > maxUserData {
		return "", fmt.Errorf("the hypervisor announces %d bytes in step %d", size, r.dx>>16)
	}
	var reply []byte
	for int64(len(reply)) < size {
		if r, err = c.must(stepRecvPayload, statusSuccess, statusSuccess); err != nil {
			return "", err
		}
		if r.dx>>16 != stepSendPayload {
			return "", fmt.Errorf("the hypervisor sends step %d for a payload", r.dx>>16)
		}
		reply = binary.LittleEndian.AppendUint32(reply, r.bx)
	}
	_, err = c.must(stepRecvStatus, statusSuccess, statusSuccess)
	return string(reply[:size]), err
}

// hypervisor is the guestinfo by the shortest way there is: the backdoor, or else
// the program of the VMware Tools.
type hypervisor struct {
	backdoor GuestInfo // nil where there is none
	tools    GuestInfo
}

// Get implements GuestInfo.
func (h hypervisor) Get(ctx context.Context, key string) (string, error) {
	if h.backdoor == nil {
		return h.tools.Get(ctx, key)
	}
	value, err := h.backdoor.Get(ctx, key)
	if !errors.Is(err, errNoBackdoor) {
		return value, err
	}
	value, toolsErr := h.tools.Get(ctx, key)
	if toolsErr != nil {
		return "", errors.Join(err, toolsErr)
	}
	return value, nil
}

// newHypervisor finds out which way there is.
func newHypervisor() hypervisor {
	h := hypervisor{tools: Vmtoolsd{}}
	if hasBackdoor() {
		h.backdoor = backdoor{callHypervisor}
	}
	return h
}
