package unit

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// How far numbers may go.
const (
	maxPriority = 1000
	maxWeight   = 100
	maxCount    = 1<<16 - 1
)

// defaultWeight is that of a preference without one.
const defaultWeight = 50

// placeOptions reads where a unit would be, and when it may be moved.
func (r *optionReader) placeOptions(o *Options) {
	o.Priority = r.number("Priority", -maxPriority, maxPriority)
	o.NotPreemptible = r.denied("Preemptible")
	o.NotMovable = r.denied("Movable")
	r.spread(o)
	if v, ok := r.last("SpreadGroup"); ok {
		o.SpreadGroup = v.text
	}
	o.MaxPerMachine = r.number("MaxPerMachine", 1, maxCount)
	o.SoftConflicts = texts(r.words("SoftConflicts"))
	for _, v := range r.given("Require") {
		o.Require = append(o.Require, Condition{Text: v.text, Line: v.line})
	}
	o.Prefer = r.preferences()
	for _, v := range r.given("Pin") {
		o.PinFirst = v.text == "first"
		if !o.PinFirst && !slices.Contains(noWords, strings.ToLower(v.text)) {
			r.refuse(v, "%q is neither first nor no", v.text)
		}
	}
}

// number is the last of several numbers; 0 if there is none.
func (r *optionReader) number(key string, least, most int) int {
	n := 0
	for _, v := range r.given(key) {
		var err error
		if n, err = strconv.Atoi(v.text); err != nil || n < least || n > most {
			r.refuse(v, "%q is not a number from %d to %d", v.text, least, most)
		}
	}
	return n
}

// denied reports whether the last value says no.
func (r *optionReader) denied(key string) bool {
	no := false
	for _, v := range r.given(key) {
		word := strings.ToLower(v.text)
		no = slices.Contains(noWords, word)
		if !no && !slices.Contains(yesWords, word) {
			r.refuse(v, "%q is neither yes nor no", v.text)
		}
	}
	return no
}

// spread reads "KEY[/KEY2] [max-skew=N]".
func (r *optionReader) spread(o *Options) {
	v, ok := r.last("Spread")
	if !ok {
		return
	}
	words := strings.Fields(v.text)
	o.Spread = strings.Split(words[0], "/")
	if i := slices.IndexFunc(o.Spread, func(key string) bool { return key == "" || strings.Contains(key, "=") }); i >= 0 {
		r.refuse(v, "%q is not KEY or KEY/KEY2 of metadata", words[0])
	}
	for _, word := range words[1:] {
		number, is := strings.CutPrefix(word, "max-skew=")
		n, err := strconv.Atoi(number)
		if !is || err != nil || n < 1 || n > maxCount {
			r.refuse(v, "%q is not max-skew=N with a number from 1 to %d", word, maxCount)
		}
		o.MaxSkew = n
	}
}

// preferences reads "[WEIGHT] EXPR".
func (r *optionReader) preferences() []Preference {
	var list []Preference
	for _, v := range r.given("Prefer") {
		p := Preference{defaultWeight, Condition{v.text, v.line}}
		first, rest, two := strings.Cut(v.text, " ")
		if n, err := strconv.Atoi(first); err == nil && two {
			p.Weight, p.Text = n, strings.TrimSpace(rest)
			if n < -maxWeight || n > maxWeight {
				r.refuse(v, "weight %d is not from %d to %d", n, -maxWeight, maxWeight)
			}
		}
		list = append(list, p)
	}
	return list
}

// ports reads the ports to be held, each once: "80", "53/udp", those that a
// socket unit listens on ("auto"), and how many to be chosen ("dynamic:2").
func (r *optionReader) ports(o *Options) {
	add := func(v value, p Port) {
		if slices.Contains(o.Ports, p) {
			r.refuse(v, "name %s twice", p)
			return
		}
		o.Ports = append(o.Ports, p)
	}
	for _, v := range r.words("Ports") {
		count, dynamic := strings.CutPrefix(v.text, "dynamic:")
		switch {
		case v.text == "auto" && r.name.Suffix() != ".socket":
			r.refuse(v, "auto is for .socket units")
		case v.text == "auto":
			for _, p := range r.listenPorts() {
				add(v, p)
			}
		case dynamic:
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 || n > maxCount {
				r.refuse(v, "%q is not dynamic:N with a number from 1 to %d", v.text, maxCount)
			}
			o.DynamicPorts = n
		default:
			p, err := parsePort(v.text)
			if err != nil {
				r.refuse(v, "%v", err)
				continue
			}
			add(v, p)
		}
	}
}

func parsePort(text string) (Port, error) {
	number, protocol, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || protocol != "udp" && protocol != "tcp" && text != number {
		return Port{}, fmt.Errorf("%q is not a port such as 80 or 53/udp, nor auto, nor dynamic:N", text)
	}
	return Port{Number: uint16(n), UDP: protocol == "udp"}, nil
}

// String is "80" or "53/udp".
func (p Port) String() string {
	if p.UDP {
		return fmt.Sprintf("%d/udp", p.Number)
	}
	return fmt.Sprint(p.Number)
}

// listenPorts are the ports of the network that a socket unit listens on, each
// once.
func (r *optionReader) listenPorts() []Port {
	var list []Port
	for _, kind := range []struct {
		key string
		udp bool
	}{{"ListenStream", false}, {"ListenDatagram", true}} {
		for _, address := range r.file.Values("Socket", kind.key) {
			p := Port{Number: listenPort(r.name.Expand(address)), UDP: kind.udp}
			if p.Number != 0 && !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	return list
}

// listenPort is the port of "80", "127.0.0.1:80" or "[::1]:80"; 0 for paths and
// other addresses.
func listenPort(address string) uint16 {
	if n, err := strconv.ParseUint(address, 10, 16); err == nil {
		return uint16(n)
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0
	}
	return a.Port()
}
