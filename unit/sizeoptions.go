package unit

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Resources are amounts of what a machine has. The zero value is nothing at
// all.
type Resources struct {
	CPU    int64 // thousandths of a core
	Memory int64 // bytes
	Disk   int64 // bytes
	// Counters are whatever else machines declare, by name.
	Counters map[string]int64
}

// maxAmount is the largest amount of a resource that can be asked for.
const maxAmount = 1 << 51

// sizeOptions reads what a unit takes of a machine.
func (r *optionReader) sizeOptions(o *Options) {
	o.Request.Memory = r.amount("Memory", ParseSize)
	o.Request.CPU = r.amount("CPU", ParseCPU)
	o.Request.Disk = r.amount("Disk", ParseSize)
	o.Request.Counters = r.counters()
	o.Limits = r.limits()
	r.ports(o)
}

func (r *optionReader) amount(key string, parse func(string) (int64, error)) int64 {
	var n int64
	for _, v := range r.given(key) {
		var err error
		if n, err = parse(v.text); err != nil {
			r.refuse(v, "%v", err)
		}
	}
	return n
}

// counters reads NAME=N pairs.
func (r *optionReader) counters() map[string]int64 {
	var m map[string]int64
	for _, v := range r.words("Resources") {
		name, n, err := ParseCounter(v.text)
		if err == nil && m[name] != 0 {
			err = fmt.Errorf("name %s twice", name)
		}
		if err != nil {
			r.refuse(v, "%v", err)
			continue
		}
		if m == nil {
			m = make(map[string]int64)
		}
		m[name] = n
	}
	return m
}

// ParseCounter reads "NAME=N", the amount of a counter.
func ParseCounter(text string) (name string, n int64, err error) {
	name, number, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", 0, fmt.Errorf("%q is not NAME=N", text)
	}
	if slices.Contains([]string{"cpu", "memory", "disk"}, name) {
		return "", 0, fmt.Errorf("%q: %s is no counter but an option of its own", text, name)
	}
	n, err = strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > maxAmount {
		return "", 0, fmt.Errorf("%q is not NAME=N with a number from 0 to %d", text, int64(maxAmount))
	}
	return name, n, nil
}

// limits reads what systemd is told of the unit's size. Values that systemd
// would not understand, percentages of memory, which depend on the machine, and
// "infinity" say nothing.
func (r *optionReader) limits() Resources {
	section := map[string]string{".service": "Service", ".socket": "Socket", ".mount": "Mount", ".swap": "Swap"}[r.name.Suffix()]
	if section == "" {
		return Resources{}
	}
	var l Resources
	for _, key := range []string{"MemoryLow", "MemoryMin", "MemoryHigh", "MemoryMax", "MemoryLimit"} {
		if n, err := ParseSize(r.setting(section, key)); err == nil && n > 0 {
			l.Memory = n
			break
		}
	}
	if quota := r.setting(section, "CPUQuota"); strings.HasSuffix(quota, "%") {
		l.CPU, _ = ParseCPU(quota)
	}
	return l
}

func (r *optionReader) setting(section, key string) string {
	return r.name.Expand(r.file.Value(section, key))
}

// ParseSize reads a size as systemd does: "512M", "1.5G", to the base 1024, or
// bytes.
func ParseSize(text string) (int64, error) {
	number, unit := strings.TrimSuffix(text, "B"), int64(1)
	if i := strings.IndexByte("KMGTPE", lastByte(number)); i >= 0 {
		number, unit = number[:len(number)-1], 1<<(10*(i+1))
	}
	n, ok := parseDecimal(number, unit)
	if !ok {
		return 0, fmt.Errorf("%q is not a size such as 512M or 1.5G, of at most 2048T", text)
	}
	return n, nil
}

func lastByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

// ParseCPU reads an amount of processor time: cores ("0.25"), thousandths of one
// ("250m") or hundredths ("25%").
func ParseCPU(text string) (int64, error) {
	number, unit := text, int64(1000)
	switch lastByte(text) {
	case 'm':
		number, unit = text[:len(text)-1], 1
	case '%':
		number, unit = text[:len(text)-1], 10
	}
	n, ok := parseDecimal(number, unit)
	if !ok {
		return 0, fmt.Errorf("%q is not a number of cores such as 2, 0.25, 250m or 25%%", text)
	}
	return n, nil
}

// parseDecimal reads a decimal number and multiplies it by unit, rounding up, if
// the result is at most maxAmount.
func parseDecimal(text string, unit int64) (int64, bool) {
	whole, fraction, point := strings.Cut(text, ".")
	if !digits(whole) || point && !digits(fraction) || len(fraction) > 15 {
		return 0, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > maxAmount/unit {
		return 0, false
	}
	n *= unit
	if point {
		part, _ := strconv.ParseUint(fraction, 10, 64) // has at most 15 digits
		scale := uint64(math.Pow10(len(fraction)))
		hi, lo := bits.Mul64(part, uint64(unit))
		quotient, rest := bits.Div64(hi, lo, scale)
		n += int64(quotient)
		if rest > 0 {
			n++
		}
	}
	return n, n <= maxAmount
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
